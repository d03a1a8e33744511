//! Kernels on a GPU against those on the CPU.

use candle_core::{DType, Device, Result, Tensor, Var};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::sampling::normal;

/// Standard normal f32 values of the CPU, the same for the same seed.
pub(in crate::kernels) fn normals(shape: &[usize], seed: u64) -> Tensor {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let count = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|_| normal(&mut random)).collect();
    let values = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
    values.to_dtype(DType::F32).unwrap()
}

/// The result and, of it times fixed weights, the gradients of an operation on copies of its
/// arguments; a gradient that is not made is missing on each device.
fn passes(
    device: &Device,
    arguments: &[Tensor],
    operation: &impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<Vec<Option<Tensor>>> {
    let vars = arguments.iter().map(|argument| {
        let copy = argument.to_device(device)?;
        Var::from_tensor(&copy)
    });
    let vars = vars.collect::<Result<Vec<_>>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = operation(&tensors)?;
    let weights = normals(y.dims(), 7).to_device(device)?;
    let gradients = (&y * weights)?.sum_all()?.backward()?;
    let mut results = vec![Some(y.to_device(&Device::Cpu)?)];
    for var in &vars {
        let gradient = gradients.get(var);
        results.push(gradient.map(|g| g.to_device(&Device::Cpu)).transpose()?);
    }
    Ok(results)
}

/// Checks that an operation's result and all its gradients are those of the CPU in shape and, entry
/// by entry, to within a share of the largest; NaN only where the CPU has it.
pub(in crate::kernels) fn agrees(
    name: &str,
    arguments: &[Tensor],
    share: f64,
    operation: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let gpu = Device::new_cuda(0).unwrap();
    let [expected, found] = [&Device::Cpu, &gpu].map(|device| {
        passes(device, arguments, &operation).unwrap_or_else(|error| panic!("{name}: {error}"))
    });
    for (index, pair) in expected.iter().zip(&found).enumerate() {
        let what = match index {
            0 => format!("{name}: result"),
            _ => format!("{name}: gradient of argument {}", index - 1),
        };
        match pair {
            (None, None) => {}
            (Some(expected), Some(found)) => compare(&what, expected, found, share),
            _ => panic!("{what} is made on one device only"),
        }
    }
}

fn compare(what: &str, expected: &Tensor, found: &Tensor, share: f64) {
    assert_eq!(expected.dims(), found.dims(), "{what}");
    let [expected, found] = [expected, found].map(|tensor| {
        let flat = tensor.flatten_all().unwrap();
        let values = flat.to_dtype(DType::F64).unwrap();
        values.to_vec1::<f64>().unwrap()
    });
    let finite = expected.iter().filter(|value| value.is_finite());
    let largest = finite.fold(0.0_f64, |largest, value| largest.max(value.abs()));
    for (place, (expected, found)) in expected.iter().zip(&found).enumerate() {
        let near = (expected - found).abs() <= share * largest;
        let same = expected == found || expected.is_nan() && found.is_nan();
        assert!(
            near || same,
            "{what}, entry {place}: {found}, not {expected}"
        );
    }
}

/// The same with a NaN in the first argument, which must not be lost.
pub(in crate::kernels) fn shows_nan(
    name: &str,
    arguments: &[Tensor],
    operation: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let mut arguments = arguments.to_vec();
    let shape = arguments[0].shape().clone();
    let mut values = arguments[0]
        .flatten_all()
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    let middle = values.len() / 2;
    values[middle] = f32::NAN;
    arguments[0] = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
    let y = operation(&arguments).unwrap().flatten_all().unwrap();
    let shown = y.to_vec1::<f32>().unwrap().iter().any(|y| y.is_nan());
    assert!(shown, "{name} hides a NaN on the CPU");
    agrees(&format!("{name} of NaN"), &arguments, 1e-5, operation);
}
