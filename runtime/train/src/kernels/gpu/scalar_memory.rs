//! The scalar memory of the sLSTM on a GPU.

use candle_core::{CudaStorage, Layout, Result, Tensor};

use super::Argument::{Again, Read, Size, Write};
use super::{Grid, Module, backward, forward, module, size};
use crate::kernels::scalar_memory::{GATES, ScalarMemory, Sizes};

const KERNELS: Module = module!("scalar_memory");

/// The side of a block that has a tile of a matrix.
const TILE: usize = 16;

/// Most hidden units that a block has at a time.
const UNITS: usize = 256;

/// A block for each head of each clip, a thread for each gate of a unit.
fn frame_by_frame(sizes: Sizes) -> Grid {
    Grid {
        blocks: (sizes.batch * sizes.heads, 1, 1),
        threads: (sizes.width.min(UNITS), GATES, 1),
        shared: 0,
    }
}

/// A block for each tile of a matrix of so many rows and columns, for each gate of each head.
fn tiles(sizes: Sizes, rows: usize, columns: usize) -> Grid {
    let tiles = rows.div_ceil(TILE) * columns.div_ceil(TILE);
    Grid {
        blocks: (GATES * sizes.heads * tiles, 1, 1),
        threads: (TILE, TILE, 1),
        shared: 0,
    }
}

/// Sizes of which kernels can index rows of all clips and entries of a frame's gates in 32 bits.
fn sizes(gates: &[usize], recurrent: &[usize]) -> Result<Sizes> {
    let sizes = Sizes::of(gates, recurrent);
    size(gates[2].saturating_mul(2))?;
    size(sizes.batch.saturating_mul(sizes.time).saturating_add(TILE))?;
    Ok(sizes)
}

impl ScalarMemory {
    pub(in crate::kernels) fn on_gpu(
        &self,
        gates: (&CudaStorage, &Layout),
        recurrent: (&CudaStorage, &Layout),
    ) -> Result<CudaStorage> {
        forward([gates, recurrent], |gpu, [gates, recurrent]| {
            let sizes = sizes(gates.dims, recurrent.dims)?;
            let [time, heads, width] = [sizes.time, sizes.heads, sizes.width].map(size);
            let (time, heads, width) = (time?, heads?, width?);
            let mut turned = gpu.room(recurrent.values.len())?;
            let arguments = &mut [
                Read(&recurrent.values),
                Write(&mut turned),
                Size(heads),
                Size(width),
            ];
            let grid = tiles(sizes, sizes.width, sizes.width);
            gpu.launch(KERNELS, "scalar_memory_turn", grid, arguments)?;
            let mut state = gpu.room(3 * sizes.state())?;
            let mut hidden = gpu.room(sizes.state() * sizes.time)?;
            let arguments = &mut [
                Read(&gates.values),
                Again(&turned),
                Write(&mut state),
                Write(&mut hidden),
                Size(time),
                Size(heads),
                Size(width),
            ];
            let grid = frame_by_frame(sizes);
            gpu.launch(KERNELS, "scalar_memory_forward", grid, arguments)?;
            Ok(hidden)
        })
    }

    pub(in crate::kernels) fn back_on_gpu(
        &self,
        gates: &Tensor,
        recurrent: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> Result<[Tensor; 2]> {
        let given = [gates, recurrent, result, gradient];
        backward(given, |gpu, [gates, recurrent, hidden, g]| {
            let sizes = sizes(gates.dims, recurrent.dims)?;
            let frames = sizes.batch * sizes.time;
            let [count, time, heads, width] =
                [frames, sizes.time, sizes.heads, sizes.width].map(size);
            let (count, time, heads, width) = (count?, time?, heads?, width?);
            let mut dgates = gpu.room(gates.values.len())?;
            let arguments = &mut [
                Read(&gates.values),
                Read(&recurrent.values),
                Read(&hidden.values),
                Write(&mut dgates),
                Size(count),
                Size(time),
                Size(heads),
                Size(width),
            ];
            let grid = tiles(sizes, frames, sizes.width);
            gpu.launch(KERNELS, "scalar_memory_hear", grid, arguments)?;
            let mut kept = gpu.room(3 * sizes.state() * sizes.time)?;
            let arguments = &mut [
                Read(&recurrent.values),
                Read(&g.values),
                Write(&mut dgates),
                Write(&mut kept),
                Size(time),
                Size(heads),
                Size(width),
            ];
            let grid = frame_by_frame(sizes);
            gpu.launch(KERNELS, "scalar_memory_backward_gates", grid, arguments)?;
            let mut drecurrent = gpu.room(recurrent.values.len())?;
            let arguments = &mut [
                Again(&dgates),
                Read(&hidden.values),
                Write(&mut drecurrent),
                Size(count),
                Size(time),
                Size(heads),
                Size(width),
            ];
            let grid = tiles(sizes, sizes.width, sizes.width);
            gpu.launch(KERNELS, "scalar_memory_backward_recurrent", grid, arguments)?;
            let shapes = (gates.dims.into(), recurrent.dims.into());
            Ok([(dgates, shapes.0), (drecurrent, shapes.1)])
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use crate::kernels::gpu::tests::{agrees, normals, shows_nan};
    use crate::kernels::scalar_memory;

    /// Gates and recurrent weights of `(batch, time, heads, width)`.
    fn given((batch, time, heads, width): (usize, usize, usize, usize)) -> [Tensor; 2] {
        let columns = 4 * heads * width;
        #[allow(clippy::cast_precision_loss)]
        let bound = (width as f64).sqrt().recip();
        let gates = (normals(&[batch, time, columns], 1) * 2.0).unwrap();
        let recurrent = (normals(&[columns, width], 2) * bound).unwrap();
        [gates, recurrent]
    }

    #[test]
    fn scalar_memories_are_those_of_the_cpu() {
        // Single entries, tiles that are full, nearly full and overfull, the usual size, many
        // frames, and more units than a block has.
        let shapes = [
            (1, 1, 1, 1),
            (2, 5, 3, 7),
            (3, 16, 1, 16),
            (1, 17, 2, 33),
            (2, 20, 4, 64),
            (1, 200, 2, 3),
            (65, 2, 2, 3),
            (2, 3, 1, 257),
        ];
        for shape in shapes {
            let name = format!("scalar memory of {shape:?}");
            agrees(&name, &given(shape), 1e-5, |x| scalar_memory(&x[0], &x[1]));
        }
    }

    #[test]
    fn other_layouts_agree() {
        let [gates, recurrent] = given((2, 9, 2, 5));
        let turned = [gates.transpose(1, 2), recurrent.t()].map(|x| x.unwrap().contiguous());
        agrees("of columns", &turned.map(Result::unwrap), 1e-5, |x| {
            scalar_memory(&x[0].transpose(1, 2)?, &x[1].t()?)
        });
    }

    #[test]
    fn no_number_is_not_hidden() {
        shows_nan("scalar memory", &given((1, 6, 2, 5)), |x| {
            scalar_memory(&x[0], &x[1])
        });
    }

    #[test]
    fn what_does_not_fit_is_refused_and_no_clips_have_no_states() {
        let gpu = Device::new_cuda(0).unwrap();
        let [gates, recurrent] = given((2, 4, 2, 3)).map(|x| x.to_device(&gpu).unwrap());
        assert!(scalar_memory(&gates, &recurrent.narrow(0, 0, 12).unwrap()).is_err());
        let none = gates.narrow(0, 0, 0).unwrap();
        assert_eq!(scalar_memory(&none, &recurrent).unwrap().dims(), [0, 4, 6]);
    }
}
