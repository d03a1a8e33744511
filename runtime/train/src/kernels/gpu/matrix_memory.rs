//! The matrix memory of the mLSTM on a GPU.

use candle_core::{CudaStorage, Layout, Result, Tensor};

use super::Argument::{Again, Read, Size, Write};
use super::heads::Sizes;
use super::{Grid, Module, THREADS, backward, forward, module, size};
use crate::kernels::matrix_memory::MatrixMemory;

const KERNELS: Module = module!("matrix_memory");

impl MatrixMemory {
    fn sizes(&self, dims: &[usize]) -> Result<Sizes> {
        let stride = dims.last().copied().unwrap_or_default();
        Sizes::of(dims, self.heads, stride.saturating_sub(2 * self.heads))
    }

    pub(in crate::kernels) fn on_gpu(
        &self,
        packed: &CudaStorage,
        layout: &Layout,
    ) -> Result<CudaStorage> {
        forward([(packed, layout)], |gpu, [packed]| {
            let sizes = self.sizes(packed.dims)?;
            let mut sums = gpu.room(sizes.blocks() * sizes.time)?;
            let mut weights = gpu.room(sizes.weights())?;
            let mut y = gpu.room(sizes.frames())?;
            let arguments = [
                Read(&packed.values),
                Write(&mut sums),
                Write(&mut weights),
                Write(&mut y),
            ];
            let arguments = &mut sizes.after(arguments)?;
            gpu.launch(KERNELS, "matrix_memory_forward", sizes.grid(), arguments)?;
            Ok(y)
        })
    }

    pub(in crate::kernels) fn back_on_gpu(
        &self,
        packed: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> Result<Tensor> {
        let [dpacked] = backward([packed, result, gradient], |gpu, [packed, y, g]| {
            let sizes = self.sizes(packed.dims)?;
            let (grid, each) = (sizes.grid(), sizes.batch * sizes.heads);
            let mut sums = gpu.room(sizes.blocks() * sizes.time)?;
            let mut weights = gpu.room(sizes.weights())?;
            let mut dscores = gpu.room(sizes.weights())?;
            let mut dsums = gpu.room(each * sizes.time)?;
            let mut dpacked = gpu.room(packed.values.len())?;
            let arguments = [
                Read(&packed.values),
                Read(&y.values),
                Read(&g.values),
                Write(&mut sums),
                Write(&mut weights),
                Write(&mut dscores),
                Write(&mut dsums),
                Write(&mut dpacked),
            ];
            let arguments = &mut sizes.after(arguments)?;
            gpu.launch(KERNELS, "matrix_memory_backward_queries", grid, arguments)?;
            let arguments = [
                Read(&packed.values),
                Read(&g.values),
                Again(&weights),
                Again(&dscores),
                Write(&mut dpacked),
            ];
            let arguments = &mut sizes.after(arguments)?;
            gpu.launch(KERNELS, "matrix_memory_backward_keys", grid, arguments)?;
            let arguments = &mut [
                Read(&packed.values),
                Again(&dsums),
                Write(&mut dpacked),
                Size(size(sizes.time)?),
                Size(size(sizes.heads)?),
                Size(size(sizes.width)?),
            ];
            let grid = Grid::of_blocks(each, THREADS);
            gpu.launch(KERNELS, "matrix_memory_backward_gates", grid, arguments)?;
            Ok([(dpacked, packed.dims.into())])
        })?;
        Ok(dpacked)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use crate::kernels::gpu::tests::{agrees, normals, shows_nan};
    use crate::kernels::matrix_memory;

    /// Rows of `(batch, time, heads, width)` whose input and forget gates have these means and
    /// this deviation.
    fn packed(
        (batch, time, heads, width): (usize, usize, usize, usize),
        means: [f64; 2],
        deviation: f64,
    ) -> Tensor {
        let vectors = normals(&[batch, time, 3 * heads * width], 1);
        let [input, forget] = [(means[0], 2), (means[1], 3)].map(|(mean, seed)| {
            let gates = normals(&[batch, time, heads], seed);
            gates.affine(deviation, mean).unwrap()
        });
        Tensor::cat(&[vectors, input, forget], 2).unwrap()
    }

    #[test]
    fn matrix_memories_are_those_of_the_cpu() {
        // Single entries, tiles that are full, nearly full and overfull, and the usual size.
        let shapes = [
            (1, 1, 1, 1),
            (2, 5, 3, 7),
            (3, 16, 1, 16),
            (1, 17, 2, 33),
            (2, 20, 4, 64),
            (2, 47, 2, 15),
            (65, 2, 2, 3),
        ];
        for shape in shapes {
            let name = format!("matrix memory of {shape:?}");
            // Where a sum of weights nearly cancels, what it is divided by has few digits left.
            agrees(&name, &[packed(shape, [0.0; 2], 3.0)], 1e-4, |x| {
                matrix_memory(&x[0], shape.2)
            });
        }
    }

    #[test]
    fn gates_are_summed_over_more_frames_than_a_block_has_threads() {
        // Forget gates nearly open: what the first frames leave is heard by the last.
        agrees(
            "long",
            &[packed((1, 600, 2, 3), [-2.0, 6.0], 1.0)],
            1e-5,
            |x| matrix_memory(&x[0], 2),
        );
    }

    #[test]
    fn other_layouts_agree() {
        let turned = packed((2, 19, 2, 4), [0.0; 2], 1.0)
            .transpose(1, 2)
            .unwrap();
        let turned = turned.contiguous().unwrap();
        agrees("of columns", &[turned], 1e-5, |x| {
            matrix_memory(&x[0].transpose(1, 2)?, 2)
        });
    }

    #[test]
    fn no_number_is_not_hidden() {
        // In the only frame: a tile spreads it to earlier ones, which the CPU does not.
        shows_nan(
            "matrix memory",
            &[packed((1, 1, 2, 5), [0.0; 2], 1.0)],
            |x| matrix_memory(&x[0], 2),
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_and_no_clips_have_no_memories() {
        let gpu = Device::new_cuda(0).unwrap();
        let rows = packed((2, 4, 2, 3), [0.0; 2], 1.0).to_device(&gpu).unwrap();
        assert!(matrix_memory(&rows, 3).is_err());
        let none = rows.narrow(0, 0, 0).unwrap();
        assert_eq!(matrix_memory(&none, 2).unwrap().dims(), [0, 4, 6]);
    }
}
