//! The options of `[diversity]`.

use orze_plugin::diversity::*;

const KNOWN: [&str; 3] = ["dimensions", "minimum", "banned_failures"];

/// Finished experiments that a history holds at most.
const MOST_FAILURES: i64 = 200;

/// What the campaign file says, or the defaults.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    /// Discrete dimensions of which each cycle must try another choice than the leader's.
    pub(crate) dimensions: Vec<String>,
    /// Ideas off the leader's choice that a cycle must hold for each of them.
    pub(crate) minimum: usize,
    /// Configurations of so many last failures are banned, in their discrete dimensions.
    pub(crate) banned_failures: usize,
}

impl Options {
    /// # Errors
    /// Every option that is unknown, of another type or out of range, and every dimension that is
    /// none or has no choices.
    pub(crate) fn read(terms: &Terms) -> Result<Self, Error> {
        let mut problems = Problems::new();
        for option in &terms.options {
            if !KNOWN.contains(&option.key.as_str()) {
                let problem = Problem::at(&option.key, "is no option of paper-diversity");
                let hint = nearest(&option.key, KNOWN).map_or_else(
                    || format!("allowed: {}", KNOWN.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                problems.add(problem.hint(hint));
            }
        }
        let options = Self {
            dimensions: dimensions(terms, &mut problems),
            minimum: count(terms, "minimum", 1, i64::MAX, &mut problems),
            banned_failures: count(terms, "banned_failures", 10, MOST_FAILURES, &mut problems),
        };
        problems.into_result().map(|()| options)
    }
}

fn dimensions(terms: &Terms, problems: &mut Problems) -> Vec<String> {
    let names = match terms.option("dimensions") {
        None => &[][..],
        Some(OptionValue::Texts(names)) => names,
        Some(_) => {
            problems.add(Problem::at("dimensions", "must be a list of names"));
            &[]
        }
    };
    for name in names {
        if !terms.dimension(name).is_some_and(Dimension::is_discrete) {
            let message = format!("`{name}` is no discrete dimension of the space");
            let problem = Problem::at("dimensions", message);
            let discrete = terms.dimensions.iter().filter(|known| known.is_discrete());
            let discrete: Vec<&str> = discrete.map(|known| known.name.as_str()).collect();
            let hint = nearest(name, discrete.iter().copied()).map_or_else(
                || format!("allowed: {}", discrete.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            problems.add(problem.hint(hint));
        }
    }
    names.to_vec()
}

fn count(terms: &Terms, key: &str, default: usize, most: i64, problems: &mut Problems) -> usize {
    match terms.option(key) {
        None => default,
        Some(OptionValue::Integer(count)) if (0..=most).contains(count) => {
            usize::try_from(*count).unwrap_or(usize::MAX)
        }
        Some(_) if most == i64::MAX => {
            problems.add(Problem::at(key, "must be a whole number, 0 or more"));
            default
        }
        Some(_) => {
            let message = format!("must be a whole number from 0 to {most}");
            problems.add(Problem::at(key, message));
            default
        }
    }
}
