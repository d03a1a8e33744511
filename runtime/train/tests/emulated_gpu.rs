//! Candle's operations on a GPU against those on the CPU: what training uses of them.
//!
//! Run on the emulated GPU (`tests/emulated_gpu`) or a real one.

#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not count as tests.

use candle_core::{D, DType, Device, IndexOp, Result, Shape, Tensor, Var};

/// Values between −2 and 2, different for each salt.
fn values<S: Into<Shape>>(salt: usize, shape: S, device: &Device) -> Result<Tensor> {
    let shape = shape.into();
    let list: Vec<f32> = (0..shape.elem_count())
        .map(|index| (((index * 37 + salt * 101) % 1009) as f32 * 0.71).sin() * 2.0)
        .collect();
    Tensor::from_vec(list, shape, device)
}

/// A result on a device, given by name.
type Operation = (&'static str, fn(&Device) -> Result<Tensor>);

/// The entries of a tensor, with its shape, whatever its type.
fn entries(tensor: &Tensor) -> (Vec<usize>, Vec<f64>) {
    let flat = tensor.flatten_all().unwrap();
    let flat = flat.to_dtype(DType::F64).unwrap();
    (tensor.dims().to_vec(), flat.to_vec1().unwrap())
}

fn agree(operations: &[Operation]) {
    let gpu = Device::new_cuda(0).unwrap();
    for (name, operation) in operations {
        let of = |device: &Device| {
            let result = operation(device).unwrap_or_else(|e| panic!("{name} on {device:?}: {e}"));
            assert!(result.device().same_device(device), "{name}");
            (result.dtype(), entries(&result))
        };
        let (cpu, (dims, expected)) = of(&Device::Cpu);
        let (dtype, (found_dims, found)) = of(&gpu);
        assert_eq!((dtype, found_dims), (cpu, dims), "{name}");
        let largest = expected.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
        assert!(largest > 0.0, "{name}: there is nothing to compare");
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            // Sums are taken in another order.
            let near = (found - expected).abs() <= 1e-5 * largest.max(1.0);
            assert!(near, "{name}[{index}]: {found}, on the CPU {expected}");
        }
    }
}

#[test]
fn entry_by_entry() {
    agree(&[
        ("add", |d| values(1, (5, 7), d)? + values(2, (5, 7), d)?),
        ("add over rows", |d| {
            values(1, (5, 7), d)?.broadcast_add(&values(2, 7, d)?)
        }),
        ("product over columns", |d| {
            values(1, (3, 5, 7), d)?.broadcast_mul(&values(2, (3, 5, 1), d)?)
        }),
        ("difference, transposed", |d| {
            values(1, (5, 7), d)?.t()? - values(2, (7, 5), d)?
        }),
        ("quotient", |d| {
            values(1, (5, 7), d)?.broadcast_div(&(values(2, 7, d)?.sqr()? + 1.0)?)
        }),
        ("maximum", |d| values(1, 99, d)?.maximum(&values(2, 99, d)?)),
        ("minimum", |d| values(1, 99, d)?.minimum(0.5)),
        ("affine", |d| values(1, (4, 300), d)?.affine(1.5, -0.25)),
        ("clamp", |d| values(1, 999, d)?.clamp(-0.5, 1.25)),
        ("exp", |d| values(1, 999, d)?.exp()),
        ("log", |d| (values(1, 999, d)?.abs()? + 0.1)?.log()),
        ("tanh", |d| values(1, 999, d)?.tanh()),
        ("sin and cos", |d| {
            values(1, 999, d)?.sin()? + values(1, 999, d)?.cos()?
        }),
        ("gelu", |d| values(1, 999, d)?.gelu_erf()),
        ("silu", |d| values(1, 999, d)?.silu()),
        ("relu", |d| values(1, 999, d)?.relu()),
        ("negation", |d| values(1, (9, 11), d)?.t()?.neg()),
        ("square", |d| values(1, 999, d)?.sqr()),
        ("root", |d| values(1, 999, d)?.abs()?.sqrt()),
        ("reciprocal", |d| (values(1, 99, d)?.abs()? + 1.0)?.recip()),
        ("power", |d| values(1, 99, d)?.abs()?.powf(1.5)),
        ("comparison", |d| {
            values(1, 99, d)?
                .gt(&values(2, 99, d)?)?
                .to_dtype(DType::F32)
        }),
        ("choice", |d| {
            let first = values(1, (9, 11), d)?;
            let second = values(2, (11, 9), d)?.t()?;
            first.ge(&second)?.where_cond(&first, &second)
        }),
    ]);
}

#[test]
fn along_dimensions() {
    agree(&[
        ("sum", |d| values(1, (40, 50), d)?.sum_all()),
        ("sum of the last", |d| {
            values(1, (3, 5, 700), d)?.sum_keepdim(D::Minus1)
        }),
        ("sum of the first", |d| values(1, (300, 5, 7), d)?.sum(0)),
        ("sum of two", |d| values(1, (30, 5, 70), d)?.sum((0, 2))),
        ("mean", |d| values(1, (3, 50, 7), d)?.mean(1)),
        ("largest", |d| {
            values(1, (3, 50, 70), d)?.max_keepdim(D::Minus1)
        }),
        ("smallest", |d| values(1, (3, 50, 7), d)?.min(1)),
        ("where the largest is", |d| {
            values(1, (7, 50), d)?
                .argmax(D::Minus1)?
                .to_dtype(DType::F32)
        }),
        ("narrow", |d| {
            values(1, (6, 9, 4), d)?.narrow(1, 2, 5)?.contiguous()
        }),
        ("stack", |d| {
            Tensor::stack(&[values(1, (4, 5), d)?, values(2, (4, 5), d)?], 1)
        }),
        ("cat of the last", |d| {
            Tensor::cat(&[values(1, (4, 5), d)?, values(2, (4, 3), d)?], 1)
        }),
        ("cat of the first", |d| {
            Tensor::cat(&[values(1, (4, 5), d)?, values(2, (2, 5), d)?], 0)
        }),
        ("cat of views", |d| {
            Tensor::cat(&[values(1, (5, 4), d)?.t()?, values(2, (2, 5), d)?], 0)
        }),
        ("rows by number", |d| {
            values(1, (9, 5), d)?.index_select(&Tensor::new(&[8u32, 0, 3, 3], d)?, 0)
        }),
        ("columns by number", |d| {
            values(1, (9, 5, 4), d)?.index_select(&Tensor::new(&[4u32, 0, 3, 3], d)?, 1)
        }),
        ("gather", |d| {
            values(1, (3, 5), d)?.gather(&Tensor::new(&[[4u32, 0], [1, 1], [2, 3]], d)?, 1)
        }),
        ("index_add", |d| {
            let rows = Tensor::new(&[3u32, 0, 3], d)?;
            values(1, (4, 5), d)?.index_add(&rows, &values(2, (3, 5), d)?, 0)
        }),
        ("one entry", |d| values(1, (4, 5, 6), d)?.i((2, .., 3..))),
        ("padding", |d| values(1, (4, 5), d)?.pad_with_zeros(1, 2, 1)),
        ("turned dimensions", |d| {
            values(1, (4, 5, 6), d)?.permute((2, 0, 1))?.contiguous()
        }),
        ("repeated", |d| {
            values(1, (1, 5), d)?.broadcast_as((4, 5))?.contiguous()
        }),
    ]);
}

#[test]
fn products_of_matrices() {
    agree(&[
        ("plain", |d| {
            values(1, (33, 70), d)?.matmul(&values(2, (70, 17), d)?)
        }),
        ("right transposed", |d| {
            values(1, (33, 70), d)?.matmul(&values(2, (17, 70), d)?.t()?)
        }),
        ("left transposed", |d| {
            values(1, (70, 33), d)?
                .t()?
                .matmul(&values(2, (70, 17), d)?)
        }),
        ("both transposed", |d| {
            values(1, (70, 33), d)?
                .t()?
                .matmul(&values(2, (17, 70), d)?.t()?)
        }),
        ("one row", |d| {
            values(1, (1, 70), d)?.matmul(&values(2, (70, 17), d)?)
        }),
        ("one column", |d| {
            values(1, (33, 70), d)?.matmul(&values(2, (70, 1), d)?)
        }),
        ("batches", |d| {
            values(1, (3, 2, 9, 8), d)?.matmul(&values(2, (3, 2, 8, 5), d)?)
        }),
        ("batches, transposed", |d| {
            values(1, (6, 9, 8), d)?.matmul(&values(2, (6, 5, 8), d)?.transpose(1, 2)?)
        }),
        ("one matrix for a batch", |d| {
            values(1, (6, 9, 8), d)?.broadcast_matmul(&values(2, (8, 5), d)?)
        }),
        ("f64", |d| {
            let [x, y] = [values(1, (9, 8), d)?, values(2, (8, 5), d)?];
            x.to_dtype(DType::F64)?.matmul(&y.to_dtype(DType::F64)?)
        }),
    ]);
}

#[test]
fn between_types_and_devices() {
    agree(&[
        ("f32 to f64", |d| values(1, 99, d)?.to_dtype(DType::F64)),
        ("f64 to f32", |d| {
            let wide = values(1, 99, d)?.to_dtype(DType::F64)?;
            (wide * 1.25)?.to_dtype(DType::F32)
        }),
        ("f32 to u8", |d| {
            (values(1, 99, d)?.abs()? * 20.0)?.to_dtype(DType::U8)
        }),
        ("u32 to f32", |d| {
            Tensor::arange(0u32, 99, d)?.to_dtype(DType::F32)
        }),
        ("u8 to f32", |d| {
            values(1, 99, d)?.gt(0.25)?.to_dtype(DType::F32)
        }),
        ("bf16 and back", |d| {
            let half = values(1, 99, d)?.to_dtype(DType::BF16)?;
            half.to_dtype(DType::F32)
        }),
        ("ones", |d| Tensor::ones((4, 5), DType::F32, d)),
        ("full", |d| Tensor::full(1.5f32, (4, 5), d)),
        ("from the CPU", |d| {
            values(1, (9, 5), &Device::Cpu)?.t()?.to_device(d)
        }),
    ]);
    let gpu = Device::new_cuda(0).unwrap();
    let zeros = Tensor::zeros((4, 5), DType::F32, &gpu).unwrap();
    assert_eq!(entries(&zeros).1, [0.0; 20]);
    let back = values(1, (9, 5), &gpu).unwrap().to_device(&Device::Cpu);
    assert_eq!(
        entries(&back.unwrap()),
        entries(&values(1, (9, 5), &Device::Cpu).unwrap())
    );
}

#[test]
fn random_numbers_have_their_distribution() {
    let gpu = Device::new_cuda(0).unwrap();
    gpu.set_seed(7).unwrap();
    let uniform = Tensor::rand(-1f32, 3.0, 20_001, &gpu).unwrap();
    let (_, list) = entries(&uniform);
    assert!(list.iter().all(|x| (-1.0..=3.0).contains(x)));
    let mean = list.iter().sum::<f64>() / list.len() as f64;
    assert!((mean - 1.0).abs() < 0.05, "{mean}");
    let (_, list) = entries(&Tensor::randn(2f32, 0.5, 20_001, &gpu).unwrap());
    let mean = list.iter().sum::<f64>() / list.len() as f64;
    let spread = list.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / list.len() as f64;
    assert!((mean - 2.0).abs() < 0.02, "{mean}");
    assert!((spread.sqrt() - 0.5).abs() < 0.02, "{spread}");
    // The same seed, the same numbers; the next ones are others.
    let again = uniform.rand_like(-1.0, 3.0).unwrap();
    assert_ne!(entries(&again).1, entries(&uniform).1);
    gpu.set_seed(7).unwrap();
    let again = uniform.rand_like(-1.0, 3.0).unwrap();
    assert_eq!(entries(&again).1, entries(&uniform).1);
}

#[test]
fn gradients_reach_what_they_are_of() {
    fn gradient(device: &Device, of: usize) -> Result<Tensor> {
        let x = Var::from_tensor(&values(1, (4, 6, 5), device)?)?;
        let weight = Var::from_tensor(&values(2, (7, 5), device)?)?;
        let bias = Var::from_tensor(&values(3, 7, device)?)?;
        let y = x.broadcast_matmul(&weight.t()?)?.broadcast_add(&bias)?;
        let largest = y.max_keepdim(D::Minus1)?;
        let shares = y.broadcast_sub(&largest)?.exp()?;
        let shares = shares.broadcast_div(&shares.sum_keepdim(D::Minus1)?)?;
        let rows = Tensor::new(&[5u32, 0, 5], device)?;
        let some = shares.index_select(&rows, 1)?.narrow(2, 1, 4)?;
        let both = Tensor::cat(&[some.tanh()?, (some.sqr()? + 0.1)?.log()?], 1)?;
        let loss = (both * values(4, (4, 6, 4), device)?)?.sum_all()?;
        let gradients = loss.backward()?;
        let variable = [&x, &weight, &bias][of];
        gradients
            .get(variable)
            .cloned()
            .ok_or_else(|| candle_core::Error::msg("no gradient").bt())
    }
    agree(&[
        ("of the input", |d| gradient(d, 0)),
        ("of the weight", |d| gradient(d, 1)),
        ("of the bias", |d| gradient(d, 2)),
    ]);
}
