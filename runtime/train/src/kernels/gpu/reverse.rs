//! Turning clips around in time on a GPU.

use candle_core::{CudaStorage, Layout, Result, Tensor};

use super::Argument::{Counts, Read, Size, Write};
use super::{Given, Gpu, Grid, Module, Values, backward, forward, module, size};
use crate::kernels::reverse::Reverse;

const KERNELS: Module = module!("reverse");

impl Reverse {
    /// `[batch, time, dim]` → the same shape.
    pub(in crate::kernels) fn on_gpu(
        &self,
        x: &CudaStorage,
        layout: &Layout,
    ) -> Result<CudaStorage> {
        forward([(x, layout)], |gpu, [x]| self.reversed_on(gpu, &x))
    }

    /// The gradient of the argument, which is the result's turned around.
    pub(in crate::kernels) fn back_on_gpu(&self, gradient: &Tensor) -> Result<Tensor> {
        let [dx] = backward([gradient], |gpu, [g]| {
            Ok([(self.reversed_on(gpu, &g)?, g.dims.into())])
        })?;
        Ok(dx)
    }

    fn reversed_on(&self, gpu: &Gpu<'_>, x: &Given<'_>) -> Result<Values> {
        let [time, dim] = [x.dims[1], x.dims[2]];
        let count = x.values.len();
        let mut y = gpu.room(count)?;
        let (values, sizes) = (Read(&x.values), [size(time)?, size(dim)?, size(count)?]);
        let [time, dim, entries] = sizes.map(Size);
        let grid = Grid::over(count);
        match &self.lengths {
            None => {
                let arguments = &mut [values, Write(&mut y), time, dim, entries];
                gpu.launch(KERNELS, "reverse_all", grid, arguments)?;
            }
            Some(lengths) => {
                let lengths = gpu.counts(lengths)?;
                let arguments = &mut [values, Write(&mut y), Counts(&lengths), time, dim, entries];
                gpu.launch(KERNELS, "reverse_valid", grid, arguments)?;
            }
        }
        Ok(y)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use crate::kernels::gpu::tests::{agrees, normals, shows_nan};
    use crate::kernels::reverse;

    #[test]
    fn reverse_is_the_cpus() {
        let cases: [([usize; 3], &[usize]); 4] = [
            ([1, 1, 1], &[1]),
            ([3, 4, 5], &[4, 1, 3]),
            ([2, 40, 33], &[40, 7]),
            ([4, 3, 257], &[2, 3, 1, 2]),
        ];
        for (shape, lengths) in cases {
            let x = [normals(&shape, 1)];
            agrees(&format!("reverse of {shape:?}"), &x, 0.0, |a| {
                reverse(&a[0], None)
            });
            agrees(&format!("reverse of {lengths:?}"), &x, 0.0, |a| {
                reverse(&a[0], Some(lengths))
            });
            shows_nan("reverse", &x, |a| reverse(&a[0], Some(lengths)));
        }
        agrees("reverse of a view", &[normals(&[3, 5, 4], 1)], 0.0, |a| {
            reverse(&a[0].transpose(1, 2)?, Some(&[4, 1, 3]))?.transpose(1, 2)
        });
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let gpu = Device::new_cuda(0).unwrap();
        let x = normals(&[2, 4, 3], 1).to_device(&gpu).unwrap();
        for lengths in [&[4, 5][..], &[0, 4], &[4]] {
            assert!(reverse(&x, Some(lengths)).is_err(), "{lengths:?}");
        }
    }
}
