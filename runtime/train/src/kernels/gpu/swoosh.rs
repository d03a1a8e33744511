//! SwooshR and SwooshL on a GPU.

use candle_core::{CudaStorage, Layout, Result, Tensor};

use super::Argument::{Number, Read, Size, Write};
use super::{Grid, Module, backward, forward, module, size};
use crate::kernels::swoosh::Swoosh;

const KERNELS: Module = module!("swoosh");

#[allow(clippy::cast_possible_truncation)]
impl Swoosh {
    pub(in crate::kernels) fn on_gpu(
        &self,
        x: &CudaStorage,
        layout: &Layout,
    ) -> Result<CudaStorage> {
        forward([(x, layout)], |gpu, [x]| {
            let count = x.values.len();
            let mut y = gpu.room(count)?;
            let arguments = &mut [
                Read(&x.values),
                Write(&mut y),
                Number(self.shift as f32),
                Number(self.constant as f32),
                Size(size(count)?),
            ];
            gpu.launch(KERNELS, "swoosh_forward", Grid::over(count), arguments)?;
            Ok(y)
        })
    }

    pub(in crate::kernels) fn back_on_gpu(&self, x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let [dx] = backward([x, gradient], |gpu, [x, g]| {
            let count = x.values.len();
            let mut dx = gpu.room(count)?;
            let arguments = &mut [
                Read(&x.values),
                Read(&g.values),
                Write(&mut dx),
                Number(self.shift as f32),
                Size(size(count)?),
            ];
            gpu.launch(KERNELS, "swoosh_backward", Grid::over(count), arguments)?;
            Ok([(dx, x.dims.into())])
        })?;
        Ok(dx)
    }
}
