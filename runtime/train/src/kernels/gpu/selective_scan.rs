//! The selective scan on a GPU: 32 channels by a tile of the states a block, frame after frame.

use candle_core::{CudaStorage, Layout, Result, Tensor};

use super::Argument::{Again, Read, Size, Write};
use super::{Argument, Given, Gpu, Grid, Module, Values, backward, forward, module, size, sizes};
use crate::kernels::selective_scan::Sizes;

const KERNELS: Module = module!("selective_scan");
/// Channels of a block, as in the kernels.
const CHANNELS: usize = 32;
/// States of a block at most.
const TILE: usize = 16;

impl Sizes {
    /// `u`, `delta`, and `bc`, `a_log` and `d` one after another.
    pub(in crate::kernels) fn on_gpu(
        self,
        arguments: [(&CudaStorage, &Layout); 3],
    ) -> Result<CudaStorage> {
        forward(arguments, |gpu, [u, delta, small]| {
            let count = u.values.len();
            let mut y = gpu.room(self.tiles() * count)?;
            let mut arguments = vec![
                Read(&u.values),
                Read(&delta.values),
                Read(&small.values),
                Write(&mut y),
            ];
            arguments.extend(self.arguments()?);
            let grid = self.grid(2);
            gpu.launch(KERNELS, "selective_scan_forward", grid, &mut arguments)?;
            if self.tiles() == 1 {
                return Ok(y);
            }
            let mut sums = gpu.room(count)?;
            let arguments = &mut [
                Again(&y),
                Write(&mut sums),
                Size(size(count)?),
                Size(size(self.tiles())?),
            ];
            gpu.launch(
                KERNELS,
                "selective_scan_tiles",
                Grid::over(count),
                arguments,
            )?;
            Ok(sums)
        })
    }

    /// The gradients of the three arguments.
    pub(in crate::kernels) fn back_on_gpu(
        self,
        [u, delta, small]: [&Tensor; 3],
        gradient: &Tensor,
    ) -> Result<[Tensor; 3]> {
        backward([u, delta, small, gradient], |gpu, given| {
            let shapes = [given[0].dims, given[1].dims, given[2].dims];
            let values = self.back(gpu, &given)?;
            let [du, ddelta, dsmall] = values;
            Ok([
                (du, shapes[0].into()),
                (ddelta, shapes[1].into()),
                (dsmall, shapes[2].into()),
            ])
        })
    }

    fn back(self, gpu: &Gpu<'_>, [u, delta, small, g]: &[Given<'_>; 4]) -> Result<[Values; 3]> {
        let Self {
            batch,
            time,
            dim,
            states,
        } = self;
        let (count, tiles, groups) = (u.values.len(), self.tiles(), dim.div_ceil(CHANNELS));
        let mut kept = gpu.room(count * states)?;
        let (mut along, mut slope) = (gpu.room(tiles * count)?, gpu.room(tiles * count)?);
        let mut da = gpu.room(batch * states * dim)?;
        let mut dskip = gpu.room(batch * dim)?;
        let mut dbc = gpu.room(groups * batch * time * 2 * states)?;
        let mut arguments = vec![
            Read(&u.values),
            Read(&delta.values),
            Read(&small.values),
            Read(&g.values),
            Write(&mut kept),
            Write(&mut along),
            Write(&mut slope),
            Write(&mut da),
            Write(&mut dskip),
            Write(&mut dbc),
        ];
        arguments.extend(self.arguments()?);
        gpu.launch(KERNELS, "selective_scan_back", self.grid(8), &mut arguments)?;

        let (mut du, mut ddelta) = (gpu.room(count)?, gpu.room(count)?);
        let mut arguments = vec![
            Read(&u.values),
            Read(&delta.values),
            Read(&small.values),
            Read(&g.values),
            Again(&along),
            Again(&slope),
            Write(&mut du),
            Write(&mut ddelta),
        ];
        arguments.extend(self.arguments()?);
        arguments.push(Size(size(tiles)?));
        let grid = Grid::over(count);
        gpu.launch(KERNELS, "selective_scan_inputs", grid, &mut arguments)?;

        let entries = small.values.len();
        let mut dsmall = gpu.room(entries)?;
        let mut arguments = vec![
            Read(&small.values),
            Again(&da),
            Again(&dskip),
            Again(&dbc),
            Write(&mut dsmall),
        ];
        arguments.extend(self.arguments()?);
        arguments.push(Size(size(groups)?));
        let grid = Grid::over(entries);
        gpu.launch(KERNELS, "selective_scan_weights", grid, &mut arguments)?;
        Ok([du, ddelta, dsmall])
    }

    fn tiles(self) -> usize {
        self.states.div_ceil(TILE)
    }

    /// States of a block, the same for every tile.
    fn tile(self) -> usize {
        self.states.div_ceil(self.tiles())
    }

    /// Blocks that share so many values a state, each for a row of channels and a bank between.
    fn grid(self, shared: usize) -> Grid {
        Grid {
            blocks: (self.batch * self.dim.div_ceil(CHANNELS), self.tiles(), 1),
            threads: (CHANNELS, self.tile(), 1),
            shared: shared * self.tile() * (CHANNELS + 1),
        }
    }

    fn arguments<'a>(self) -> Result<Vec<Argument<'a>>> {
        sizes([self.batch, self.time, self.dim, self.states, self.tile()])
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;

    use crate::kernels::gpu::tests::{agrees, normals, shows_nan};
    use crate::kernels::selective_scan;

    fn scan(x: &[Tensor]) -> candle_core::Result<Tensor> {
        selective_scan(&x[0], &x[1], &x[2], &x[3], &x[4])
    }

    fn arguments([batch, time, dim, states]: [usize; 4]) -> [Tensor; 5] {
        [
            normals(&[batch, time, dim], 1),
            normals(&[batch, time, dim], 2),
            normals(&[batch, time, 2 * states], 3),
            normals(&[dim, states], 4),
            normals(&[dim], 5),
        ]
    }

    /// A frame, a channel, a state; more channels than a block has; states in one tile and in several.
    #[test]
    fn scans_are_the_cpus() {
        for shape in [
            [1, 1, 1, 1],
            [3, 7, 5, 2],
            [2, 20, 32, 16],
            [2, 5, 33, 16],
            [1, 9, 70, 17],
            [2, 3, 40, 40],
            [1, 150, 3, 4],
        ] {
            agrees(&format!("scan {shape:?}"), &arguments(shape), 1e-5, scan);
        }
    }

    #[test]
    fn scans_show_nan_and_take_views() {
        shows_nan("scan", &arguments([2, 4, 5, 3]), scan);
        let [u, delta, bc, a_log, d] = arguments([2, 6, 8, 4]);
        let [u, delta, bc] = [u, delta, bc].map(|x| x.transpose(0, 1).unwrap());
        agrees("scan of views", &[u, delta, bc, a_log, d], 1e-5, |x| {
            let turned = x[..3].iter().map(|x| x.transpose(0, 1));
            let mut turned = turned.collect::<candle_core::Result<Vec<_>>>()?;
            turned.extend_from_slice(&x[3..]);
            scan(&turned)
        });
    }
}
