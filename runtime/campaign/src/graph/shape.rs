//! The shape of every node's result.

use std::fmt;

use super::{GraphError, GraphErrorKind, Initial, Node, Op};

/// What a node gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// `[clips, ⌈frames / resolution⌉, width]`.
    Frames {
        /// Frames of the input for one of these.
        resolution: u32,
        /// Channels.
        width: u32,
    },
    /// A tensor of this shape, for all clips.
    Parameter(Vec<u32>),
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frames {
                resolution: 1,
                width,
            } => write!(f, "frames of width {width}"),
            Self::Frames { resolution, width } => {
                write!(f, "frames of width {width} at resolution 1/{resolution}")
            }
            Self::Parameter(sides) => write!(f, "a parameter {sides:?}"),
        }
    }
}

/// Most sides of a parameter.
const MAX_SIDES: usize = 4;

/// One node and the shapes of its inputs.
pub(super) struct Inference<'a> {
    pub node: &'a Node,
    pub inputs: &'a [&'a Shape],
}

impl Inference<'_> {
    /// The shape of the node's result.
    pub fn shape(&self) -> Result<Shape, GraphError> {
        self.count()?;
        match &self.node.op {
            Op::Parameter { shape, initial } => self.parameter(shape, initial),
            Op::Linear {
                out,
                weight_initial,
                bias_initial,
                bias,
            } => {
                let (resolution, inputs) = self.frames(0)?;
                let out = self.positive("out", *out)?;
                let count = u64::from(out) * u64::from(inputs);
                self.initial("weight_initial", weight_initial, count)?;
                if *bias {
                    self.initial("bias_initial", bias_initial, out.into())?;
                }
                Ok(frames(resolution, out))
            }
            Op::Convolution {
                kernel,
                causal,
                out,
            } => {
                let (resolution, width) = self.frames(0)?;
                self.positive("kernel", *kernel)?;
                if !causal && kernel % 2 == 0 {
                    let message = format!("kernel: {kernel} is even, so no frame is in the middle");
                    return Err(self
                        .bad("kernel", message)
                        .hint("use an odd kernel, or `causal: true`"));
                }
                let out = match out {
                    Some(out) => self.positive("out", *out)?,
                    None => width,
                };
                Ok(frames(resolution, out))
            }
            Op::LayerNorm { groups } => {
                let (resolution, width) = self.frames(0)?;
                self.divides("groups", *groups, width)?;
                Ok(frames(resolution, width))
            }
            Op::BiasNorm | Op::RmsNorm | Op::Activation(_) | Op::Reverse | Op::Dropout => {
                let (resolution, width) = self.frames(0)?;
                Ok(frames(resolution, width))
            }
            Op::Affine { factor, offset } => {
                let (resolution, width) = self.frames(0)?;
                for (name, value) in [("factor", factor), ("offset", offset)] {
                    if !value.is_finite() {
                        return Err(self.bad(name, format!("{name}: {value} is not finite")));
                    }
                }
                Ok(frames(resolution, width))
            }
            Op::Gate | Op::Bypass => self.alike(),
            Op::Add | Op::Subtract | Op::Multiply => self.elementwise(),
            Op::Concat => self.concat(),
            Op::Slice { start, width } => {
                let (resolution, inputs) = self.frames(0)?;
                self.positive("width", *width)?;
                if u64::from(*start) + u64::from(*width) > u64::from(inputs) {
                    let message = format!(
                        "takes {width} channels from {start} on, but its input has {inputs}"
                    );
                    return Err(self.misfit(message));
                }
                Ok(frames(resolution, *width))
            }
            Op::Attention { heads } => self.packed(*heads),
            Op::Retention { heads, rates } => {
                let shape = self.packed(*heads)?;
                if !rates.is_empty() && rates.len() != *heads as usize {
                    let message = format!("rates: {} for {heads} heads", rates.len());
                    return Err(self
                        .bad("rates", message)
                        .hint("one rate a head, or none for the paper's"));
                }
                if let Some(rate) = rates.iter().find(|&&rate| !(rate > 0.0 && rate < 1.0)) {
                    return Err(self.bad("rates", format!("rates: {rate} is outside (0, 1)")));
                }
                Ok(shape)
            }
            Op::SelectiveScan => self.selective_scan(),
            Op::MatrixMemory { heads } => self.matrix_memory(*heads),
            Op::ScalarMemory => self.scalar_memory(),
            Op::Downsample { factor } => {
                let (resolution, width) = self.frames(0)?;
                self.coarser(*factor)?;
                let resolution = resolution.checked_mul(*factor).ok_or_else(|| {
                    self.misfit("its resolution is coarser than can be written".to_owned())
                })?;
                Ok(frames(resolution, width))
            }
            Op::Upsample { factor } => {
                let (resolution, width) = self.frames(0)?;
                self.coarser(*factor)?;
                if resolution % factor != 0 {
                    let given = self.inputs[0];
                    let message =
                        format!("factor {factor} does not divide the resolution of {given}");
                    return Err(self
                        .misfit(message)
                        .hint("undo with it a `downsample` of the same factor"));
                }
                Ok(frames(resolution / factor, width))
            }
        }
    }

    fn count(&self) -> Result<(), GraphError> {
        let (low, high) = match self.node.op {
            Op::Parameter { .. } => (0, 0),
            Op::Gate | Op::Bypass | Op::Add | Op::Subtract | Op::Multiply | Op::ScalarMemory => {
                (2, 2)
            }
            Op::SelectiveScan => (5, 5),
            Op::Concat => (2, super::MAX_INPUTS),
            _ => (1, 1),
        };
        let given = self.inputs.len();
        if (low..=high).contains(&given) {
            return Ok(());
        }
        let wanted = match (low, high) {
            (0, _) => "no input".to_owned(),
            (1, _) => "one input".to_owned(),
            (low, high) if low == high => format!("{low} inputs"),
            (low, high) => format!("{low} to {high} inputs"),
        };
        let name = self.node.op.name();
        let kind = GraphErrorKind::WrongInputs(given);
        let error = self.error(kind, format!("`{name}` takes {wanted}, and has {given}"));
        Err(match self.node.op {
            Op::SelectiveScan => error.hint("inputs: u, delta, bc, a_log, d"),
            Op::ScalarMemory => error.hint("inputs: gates, and the recurrent parameter"),
            Op::Gate => error.hint("inputs: x, z"),
            Op::Bypass => error.hint("inputs: x, branch"),
            _ => error,
        })
    }

    fn parameter(&self, shape: &[u32], initial: &Initial) -> Result<Shape, GraphError> {
        if shape.len() > MAX_SIDES {
            let message = format!(
                "shape: {} sides, at most {MAX_SIDES} are possible",
                shape.len()
            );
            return Err(self.bad("shape", message));
        }
        if shape.contains(&0) {
            return Err(self.bad("shape", format!("shape: {shape:?} has no entries")));
        }
        let count = shape
            .iter()
            .fold(1_u64, |count, &side| count.saturating_mul(side.into()));
        self.initial("initial", initial, count)?;
        Ok(Shape::Parameter(shape.to_vec()))
    }

    /// Whether a parameter of `count` entries can start like that.
    fn initial(&self, key: &'static str, initial: &Initial, count: u64) -> Result<(), GraphError> {
        let wrong = match initial {
            Initial::Constant(value) if !value.is_finite() => format!("{value} is not finite"),
            Initial::Uniform(bound) if !(bound.is_finite() && *bound >= 0.0) => {
                format!("{bound} is no bound ≥ 0")
            }
            Initial::StepSizes(low, high) if !(*low > 0.0 && low <= high && high.is_finite()) => {
                format!("step sizes from {low} to {high}; both must be above 0, the smaller first")
            }
            Initial::Values(values) if values.len() as u64 != count => {
                format!("{} values for {count} entries", values.len())
            }
            Initial::Values(values) => match values.iter().find(|value| !value.is_finite()) {
                Some(value) => format!("{value} is not finite"),
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        Err(self.bad(key, format!("{key}: {wrong}")))
    }

    /// Two frames of one shape, which is the result's too.
    fn alike(&self) -> Result<Shape, GraphError> {
        self.frames(0)?;
        self.frames(1)?;
        if self.inputs[0] != self.inputs[1] {
            return Err(self.differ());
        }
        Ok(self.inputs[0].clone())
    }

    fn elementwise(&self) -> Result<Shape, GraphError> {
        let (resolution, width) = self.frames(0)?;
        match self.inputs[1] {
            Shape::Frames { .. } => self.alike(),
            Shape::Parameter(sides) => match sides.as_slice() {
                [] | [1] => Ok(frames(resolution, width)),
                [side] if *side == width => Ok(frames(resolution, width)),
                _ => Err(self.differ().hint(format!(
                    "a parameter beside frames has the shape [{width}], [1] or []"
                ))),
            },
        }
    }

    fn concat(&self) -> Result<Shape, GraphError> {
        let (resolution, mut sum) = self.frames(0)?;
        for index in 1..self.inputs.len() {
            let (other, width) = self.frames(index)?;
            if other != resolution {
                return Err(self.differ());
            }
            sum = sum
                .checked_add(width)
                .ok_or_else(|| self.misfit("is wider than can be written".to_owned()))?;
        }
        Ok(frames(resolution, sum))
    }

    /// Queries, keys and values side by side.
    fn packed(&self, heads: u32) -> Result<Shape, GraphError> {
        let (resolution, triple) = self.frames(0)?;
        if triple % 3 != 0 {
            let message =
                format!("its input has {triple} channels, which are not three times a width");
            return Err(self.misfit(message).hint(
                "queries, keys and values side by side: a `linear` with `out: 3 · width` before it",
            ));
        }
        self.divides("heads", heads, triple / 3)?;
        Ok(frames(resolution, triple / 3))
    }

    fn selective_scan(&self) -> Result<Shape, GraphError> {
        let (resolution, width) = self.frames(0)?;
        let (delta, bc) = (self.frames(1)?, self.frames(2)?);
        let hint = "u and delta of one width; bc of 2 · states; a_log [width, states]; d [width]";
        let (Shape::Parameter(a_log), Shape::Parameter(d)) = (self.inputs[3], self.inputs[4])
        else {
            return Err(self.differ().hint(hint));
        };
        let [channels, states] = a_log[..] else {
            return Err(self.differ().hint(hint));
        };
        let fits = delta == (resolution, width)
            && bc.0 == resolution
            && u64::from(bc.1) == 2 * u64::from(states)
            && channels == width
            && *d == [width];
        if fits {
            Ok(frames(resolution, width))
        } else {
            Err(self.differ().hint(hint))
        }
    }

    fn matrix_memory(&self, heads: u32) -> Result<Shape, GraphError> {
        let (resolution, packed) = self.frames(0)?;
        self.positive("heads", heads)?;
        let triple = u64::from(packed).checked_sub(2 * u64::from(heads));
        let width = triple.filter(|triple| *triple > 0 && triple % 3 == 0);
        let Some(width) = width.and_then(|triple| u32::try_from(triple / 3).ok()) else {
            let message =
                format!("its input has {packed} channels, which are not 3 · width + 2 · {heads}");
            return Err(self.misfit(message).hint(
                "queries, keys, values, input gates and forget gates side by side, \
                 `out: 3 · width + 2 · heads`",
            ));
        };
        self.divides("heads", heads, width)?;
        Ok(frames(resolution, width))
    }

    fn scalar_memory(&self) -> Result<Shape, GraphError> {
        let (resolution, gates) = self.frames(0)?;
        let hint = "gates of 4 · width, and a parameter [4 · width, width / heads]";
        let Shape::Parameter(recurrent) = self.inputs[1] else {
            return Err(self.differ().hint(hint));
        };
        let width = gates / 4;
        match recurrent[..] {
            [rows, columns] if gates % 4 == 0 && rows == gates && width % columns == 0 => {
                Ok(frames(resolution, width))
            }
            _ => Err(self.differ().hint(hint)),
        }
    }

    /// Resolution and width of an input that must be frames.
    fn frames(&self, index: usize) -> Result<(u32, u32), GraphError> {
        match self.inputs[index] {
            Shape::Frames { resolution, width } => Ok((*resolution, *width)),
            shape @ Shape::Parameter(_) => {
                let name = &self.node.inputs[index];
                let op = self.node.op.name();
                Err(self.misfit(format!("`{op}` reads frames, but `{name}` is {shape}")))
            }
        }
    }

    fn positive(&self, key: &'static str, value: u32) -> Result<u32, GraphError> {
        if value > 0 {
            return Ok(value);
        }
        Err(self.bad(key, format!("{key}: must be at least 1")))
    }

    fn divides(&self, key: &'static str, value: u32, width: u32) -> Result<(), GraphError> {
        self.positive(key, value)?;
        if width.is_multiple_of(value) {
            return Ok(());
        }
        Err(self.bad(
            key,
            format!("{key}: {value} does not divide the width {width}"),
        ))
    }

    fn coarser(&self, factor: u32) -> Result<(), GraphError> {
        if factor >= 2 {
            return Ok(());
        }
        Err(self.bad(
            "factor",
            format!("factor: {factor} changes nothing; at least 2"),
        ))
    }

    /// The shapes of the inputs, which don't fit.
    fn differ(&self) -> GraphError {
        let names = self.node.inputs.iter().zip(self.inputs);
        let list: Vec<String> = names
            .map(|(name, shape)| format!("`{name}` is {shape}"))
            .collect();
        let op = self.node.op.name();
        self.misfit(format!(
            "`{op}` can't take these together: {}",
            list.join(", ")
        ))
    }

    fn misfit(&self, message: String) -> GraphError {
        self.error(GraphErrorKind::Shape, message)
    }

    fn bad(&self, key: &'static str, message: String) -> GraphError {
        self.error(GraphErrorKind::BadAttribute(key), message)
    }

    fn error(&self, kind: GraphErrorKind, message: String) -> GraphError {
        GraphError::new(&self.node.name, kind, message)
    }
}

fn frames(resolution: u32, width: u32) -> Shape {
    Shape::Frames { resolution, width }
}
