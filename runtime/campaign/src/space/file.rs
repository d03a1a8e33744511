//! Reading a space file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::graphs::is_graph_name;
use super::{Condition, Dimension, Domain, Group, RESERVED, Space, clamp_index};
use crate::error::InputError;
use crate::value::Value;
use crate::yaml;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpaceFile {
    space: String,
    dimensions: yaml::Mapping,
    #[serde(default)]
    fixed: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DimensionFile {
    group: Group,
    choices: Option<Vec<Value>>,
    range: Option<[f64; 2]>,
    scale: Option<Scale>,
    #[serde(default)]
    when: BTreeMap<String, OneOrMany>,
    /// Whether graphs of encoders are taken beside the choices.
    #[serde(default)]
    graphs: bool,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Scale {
    Linear,
    Log,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Value>),
    One(Value),
}

impl Space {
    /// Reads a space file.
    ///
    /// # Errors
    /// An [`InputError`] that names the file, the dimension and the mistake.
    pub fn read(file: &Path) -> Result<Self, InputError> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            InputError::new(format!("the space file can't be read: {error}"))
                .in_file(file)
                .hint("`[space] file` is relative to the campaign file")
        })?;
        Self::parse(&text).map_err(|mut error| {
            error
                .hint
                .get_or_insert_with(|| "configs/spaces/shoulder.yaml shows the form".to_owned());
            error.in_file(file)
        })
    }

    /// Parses the text of a space file.
    ///
    /// # Errors
    /// An [`InputError`] that names the dimension and the mistake.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        let file: SpaceFile = yaml::parse(text)?;
        let mut space = Self {
            name: file.space,
            dimensions: Vec::new(),
            fixed: file.fixed,
            graphs: None,
        };
        for (name, body) in file.dimensions {
            let name = name
                .as_str()
                .ok_or_else(|| InputError::new("the name of a dimension must be text"))?
                .to_owned();
            let (dimension, graphs) = space
                .dimension(&name, &body)
                .map_err(|error| error.at_key(format!("dimensions.{name}")))?;
            if graphs {
                space.graphs = Some(space.dimensions.len());
            }
            space.dimensions.push(dimension);
        }
        if space.dimensions.is_empty() {
            return Err(InputError::new("has no dimension").at_key("dimensions"));
        }
        if let Some(name) = space
            .fixed
            .keys()
            .find(|name| space.position(name).is_some())
        {
            return Err(InputError::new("is a dimension too").at_key(format!("fixed.{name}")));
        }
        Ok(space)
    }

    /// A dimension, and whether it takes graphs.
    fn dimension(&self, name: &str, body: &yaml::Yaml) -> Result<(Dimension, bool), InputError> {
        if RESERVED.contains(&name) {
            return Err(InputError::new("is a reserved key of ideas"));
        }
        // Through text once more, so that the error says which key is wrong.
        let body: DimensionFile = yaml::parse(&yaml::write(body)?)?;
        let domain = match (body.choices, body.range) {
            (Some(choices), None) => {
                if body.scale.is_some() {
                    return Err(InputError::new("`scale` goes with `range`, not `choices`"));
                }
                discrete(&choices)?
            }
            (None, Some([low, high])) => {
                let log = body.scale == Some(Scale::Log);
                if !(low.is_finite() && high.is_finite() && low < high) {
                    return Err(InputError::new(format!(
                        "range [{low}, {high}] must go from low to high"
                    )));
                }
                if log && low <= 0.0 {
                    return Err(InputError::new("a log range must begin above 0"));
                }
                Domain::Float { low, high, log }
            }
            _ => return Err(InputError::new("needs either `choices` or `range`")),
        };
        if body.graphs {
            self.check_graphs(&domain)?;
        }
        let conditions = body
            .when
            .into_iter()
            .map(|(parent, values)| self.condition(&parent, values))
            .collect::<Result<_, _>>()?;
        let dimension = Dimension {
            name: name.to_owned(),
            group: body.group,
            domain,
            conditions,
        };
        Ok((dimension, body.graphs))
    }

    /// Whether one more dimension, with this domain, may take graphs.
    fn check_graphs(&self, domain: &Domain) -> Result<(), InputError> {
        if let Some(other) = self.graph_dimension() {
            return Err(InputError::new(format!(
                "`graphs` stands at `{}` already; one dimension can take them",
                other.name
            )));
        }
        let Domain::Categorical(names) = domain else {
            return Err(InputError::new(
                "`graphs` goes with `choices` that are names",
            ));
        };
        match names.iter().find(|name| is_graph_name(name)) {
            Some(name) => Err(InputError::new(format!(
                "the choice `{name}` looks like the name of a graph"
            ))),
            None => Ok(()),
        }
    }

    fn condition(&self, parent: &str, values: OneOrMany) -> Result<Condition, InputError> {
        let position = self.position(parent).ok_or_else(|| {
            InputError::new(format!(
                "`when` names `{parent}`, which stands nowhere above"
            ))
        })?;
        let domain = &self.dimensions[position].domain;
        let values = match values {
            OneOrMany::Many(values) => values,
            OneOrMany::One(value) => vec![value],
        };
        let choices = values
            .iter()
            .map(|value| {
                domain
                    .choices()
                    .and_then(|_| domain.encode(value))
                    .map(|index| clamp_index(index, usize::MAX))
                    .ok_or_else(|| {
                        InputError::new(format!(
                            "`when` asks for {parent}: {value}; it takes {}",
                            domain.describe()
                        ))
                    })
            })
            .collect::<Result<_, _>>()?;
        Ok(Condition {
            parent: position,
            choices,
        })
    }
}

fn discrete(choices: &[Value]) -> Result<Domain, InputError> {
    if choices.is_empty() {
        return Err(InputError::new("`choices` is empty"));
    }
    for (index, value) in choices.iter().enumerate() {
        if choices[..index].contains(value) {
            return Err(InputError::new(format!("`choices` holds {value} twice")));
        }
    }
    let names: Option<Vec<String>> = choices
        .iter()
        .map(|value| value.as_text().map(str::to_owned))
        .collect();
    let integers: Option<Vec<i64>> = choices
        .iter()
        .map(|value| match value {
            Value::Integer(integer) => Some(*integer),
            _ => None,
        })
        .collect();
    names
        .map(Domain::Categorical)
        .or(integers.map(Domain::Integer))
        .ok_or_else(|| InputError::new("`choices` must be all names or all whole numbers"))
}
