//! Values, configurations and errors from one side to the other.

use std::collections::btree_map::Entry;

use orze_campaign::{Configuration, InputError, Priority, Value};

use crate::bindings::types;
use crate::fault::{CallError, Fault, PluginFault};
use crate::limits::{MESSAGE_BYTES, PROBLEMS, cut};

/// A configuration for a plugin.
///
/// # Errors
/// A real that is not finite: plugins are promised that there is none.
pub(crate) fn settings(configuration: &Configuration) -> Result<types::Configuration, CallError> {
    let mut problems = Vec::new();
    let mut settings = Vec::with_capacity(configuration.values.len());
    for (key, value) in &configuration.values {
        if value.as_f64().is_some_and(|number| !number.is_finite()) {
            problems.push(InputError::new(format!("`{value}` is not a finite number")).at_key(key));
        }
        settings.push(types::Setting {
            key: key.clone(),
            value: to_wit(value),
        });
    }
    if problems.is_empty() {
        Ok(settings)
    } else {
        Err(CallError::Refused(problems))
    }
}

/// A configuration out of a plugin.
///
/// # Errors
/// A key that stands twice, or a real that is not finite.
pub(crate) fn configuration(settings: types::Configuration) -> Result<Configuration, PluginFault> {
    let mut configuration = Configuration::default();
    for setting in settings {
        let value = from_wit(setting.value)
            .map_err(|wrong| PluginFault::wrong(wrong.at_key(setting.key.as_str())))?;
        match configuration.values.entry(setting.key) {
            Entry::Vacant(entry) => {
                entry.insert(value);
            }
            Entry::Occupied(entry) => {
                let error = InputError::new("stands twice in one configuration");
                return Err(PluginFault::wrong(error.at_key(entry.key())));
            }
        }
    }
    Ok(configuration)
}

pub(crate) fn to_wit(value: &Value) -> types::Value {
    match value {
        Value::Boolean(boolean) => types::Value::Boolean(*boolean),
        Value::Integer(integer) => types::Value::Integer(*integer),
        Value::Float(float) => types::Value::Real(*float),
        Value::Text(text) => types::Value::Text(text.clone()),
    }
}

/// A value out of a plugin.
///
/// # Errors
/// A real that is not finite.
pub(crate) fn from_wit(value: types::Value) -> Result<Value, InputError> {
    Ok(match value {
        types::Value::Boolean(boolean) => Value::Boolean(boolean),
        types::Value::Integer(integer) => Value::Integer(integer),
        types::Value::Real(real) if real.is_finite() => Value::Float(real),
        types::Value::Real(real) => {
            return Err(InputError::new(format!("`{real}` is not a finite number")));
        }
        types::Value::Text(text) => Value::Text(text),
    })
}

pub(crate) fn priority_to_wit(priority: Priority) -> types::Priority {
    match priority {
        Priority::Low => types::Priority::Low,
        Priority::Normal => types::Priority::Normal,
        Priority::High => types::Priority::High,
        Priority::Critical => types::Priority::Critical,
    }
}

pub(crate) fn priority_from_wit(priority: types::Priority) -> Priority {
    match priority {
        types::Priority::Low => Priority::Low,
        types::Priority::Normal => Priority::Normal,
        types::Priority::High => Priority::High,
        types::Priority::Critical => Priority::Critical,
    }
}

/// What a plugin's own error means.
pub(crate) fn error(error: types::Error, fault: impl FnOnce(PluginFault) -> Fault) -> CallError {
    match error {
        types::Error::Invalid(problems) if problems.is_empty() => {
            fault(PluginFault::bad("refuses its input without a reason")).into()
        }
        types::Error::Invalid(problems) => {
            CallError::Refused(problems.into_iter().take(PROBLEMS).map(problem).collect())
        }
        types::Error::Unsupported(what) => {
            CallError::Unsupported(cut(&what, MESSAGE_BYTES).to_owned())
        }
        types::Error::Internal(message) => {
            let message = cut(&message, MESSAGE_BYTES).to_owned();
            fault(PluginFault::Internal(message)).into()
        }
    }
}

fn problem(problem: types::Problem) -> InputError {
    let short = |text: String| cut(&text, MESSAGE_BYTES).to_owned();
    InputError {
        file: None,
        key: problem.key.map(short),
        message: short(problem.message),
        hint: problem.hint.map(short),
    }
}

/// A text of a description.
///
/// # Errors
/// One that is longer than it may be.
pub(crate) fn text(key: &str, text: String, bytes: usize) -> Result<String, PluginFault> {
    if text.len() <= bytes {
        return Ok(text);
    }
    let error = InputError::new(format!(
        "is {} bytes long; at most {bytes} are allowed",
        text.len()
    ));
    Err(PluginFault::wrong(error.at_key(key)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            any::<i64>().prop_map(Value::Integer),
            any::<f64>()
                .prop_filter("finite", |float| float.is_finite())
                .prop_map(Value::Float),
            ".*".prop_map(Value::Text),
        ]
    }

    proptest! {
        #[test]
        fn configurations_survive_the_way_there_and_back(
            values in prop::collection::btree_map(".*", value(), 0..8)
        ) {
            let there = Configuration { values };
            let back = configuration(settings(&there).unwrap()).unwrap();
            prop_assert_eq!(there, back);
        }
    }

    #[test]
    fn what_is_not_finite_passes_in_neither_direction() {
        for wrong in [f64::NAN, f64::INFINITY] {
            let there = Configuration::default().with("lr", wrong);
            let Err(CallError::Refused(problems)) = settings(&there) else {
                panic!("{wrong} was passed on");
            };
            assert_eq!(problems[0].key.as_deref(), Some("lr"));
            let back = vec![types::Setting {
                key: "lr".to_owned(),
                value: types::Value::Real(wrong),
            }];
            assert!(configuration(back).is_err());
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        let one = types::Setting {
            key: "lr".to_owned(),
            value: types::Value::Boolean(true),
        };
        let error = configuration(vec![one.clone(), one]).unwrap_err();
        assert!(error.to_string().contains("lr: stands twice"), "{error}");
    }
}
