//! A GGUF file: its metadata and its tensors, with errors that name the key.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use candle_core::Device;
use candle_core::quantized::QTensor;
use candle_core::quantized::gguf_file::{Content, Value};
use orze_campaign::InputError;

/// A file whose head was read.
pub(super) struct Gguf {
    file: BufReader<File>,
    pub(super) content: Content,
    /// Names of tensors that were taken.
    taken: BTreeSet<String>,
}

impl Gguf {
    pub(super) fn open(path: &Path) -> Result<Self, InputError> {
        let file = File::open(path).map_err(|error| {
            InputError::new(format!("the model file can't be read: {error}"))
                .hint("name a GGUF file, such as SmolLM2-135M-Instruct.Q4_1.gguf")
        })?;
        let mut file = BufReader::new(file);
        let content = Content::read(&mut file).map_err(|error| {
            InputError::new(format!("is no whole GGUF file: {}", first_line(&error)))
                .hint("load the file again; a GGUF begins with the letters `GGUF`")
        })?;
        Ok(Self {
            file,
            content,
            taken: BTreeSet::new(),
        })
    }

    /// Refuses every architecture but the one that is known here.
    pub(super) fn architecture(&self) -> Result<(), InputError> {
        let key = "general.architecture";
        match self.text(key)? {
            "llama" => Ok(()),
            other => Err(
                InputError::new(format!("the architecture `{other}` is not supported"))
                    .at_key(key)
                    .hint("allowed: llama, as SmolLM2 is"),
            ),
        }
    }

    /// Metadata that must be there.
    pub(super) fn value(&self, key: &str) -> Result<&Value, InputError> {
        self.content
            .metadata
            .get(key)
            .ok_or_else(|| InputError::new("is missing from the file's metadata").at_key(key))
    }

    pub(super) fn text(&self, key: &str) -> Result<&str, InputError> {
        let value = self.value(key)?;
        value
            .to_string()
            .map(String::as_str)
            .map_err(|_| InputError::new("is no text").at_key(key))
    }

    /// A whole number from 1 on that a size can be.
    pub(super) fn size(&self, key: &str) -> Result<usize, InputError> {
        let value = self.value(key)?;
        let size = match value {
            Value::I32(signed) => u64::try_from(*signed).ok(),
            Value::I64(signed) => u64::try_from(*signed).ok(),
            other => other.to_u64().ok(),
        };
        size.filter(|size| (1..=u64::from(u32::MAX)).contains(size))
            .and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| InputError::new(format!("{value:?} is no size")).at_key(key))
    }

    /// A size, or a default where the file has none.
    pub(super) fn size_or(&self, key: &str, default: usize) -> Result<usize, InputError> {
        if self.content.metadata.contains_key(key) {
            self.size(key)
        } else {
            Ok(default)
        }
    }

    /// A number above 0.
    pub(super) fn float(&self, key: &str) -> Result<f64, InputError> {
        let value = self.value(key)?;
        let float = match value {
            Value::F64(float) => Some(*float),
            other => other.to_f32().ok().map(f64::from),
        };
        float
            .filter(|float| float.is_finite() && *float > 0.0)
            .ok_or_else(|| InputError::new(format!("{value:?} is no number above 0")).at_key(key))
    }

    pub(super) fn has_tensor(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    /// Reads a tensor that must be there and have this shape.
    pub(super) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<QTensor, InputError> {
        let broken = |message: String| InputError::new(message).at_key(name);
        let Some(info) = self.content.tensor_infos.get(name) else {
            return Err(broken("the file has no such tensor".to_owned()));
        };
        if info.shape.dims() != shape {
            return Err(broken(format!(
                "has shape {:?}; the metadata ask for {shape:?}",
                info.shape.dims()
            )));
        }
        let block = info.ggml_dtype.block_size();
        if shape.last().is_none_or(|width| width % block != 0) {
            return Err(broken(format!("its rows are no whole blocks of {block}")));
        }
        let tensor = self
            .content
            .tensor(&mut self.file, name, &Device::Cpu)
            .map_err(|error| broken(format!("can't be read: {}", first_line(&error))))?;
        self.taken.insert(name.to_owned());
        Ok(tensor)
    }

    /// Refuses a file with a tensor that nothing took: its model computes something more than
    /// this reader does, and would answer nonsense without it.
    pub(super) fn all_taken(&self) -> Result<(), InputError> {
        let names = self.content.tensor_infos.keys();
        match names.filter(|name| !self.taken.contains(*name)).min() {
            Some(name) => Err(InputError::new(
                "is a tensor that this reader does not use; the model is no plain llama",
            )
            .at_key(name)),
            None => Ok(()),
        }
    }
}

/// candle puts a backtrace behind its message.
pub(super) fn first_line(error: &candle_core::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}
