//! The diversity budget `my-plugin`: each cycle must hold ideas that leave the leader's backbone.

use orze_plugin::diversity::*;

struct MyBudget;

impl Diversity for MyBudget {
    fn check(terms: &Terms) -> Result<(), Error> {
        // `[diversity]` of the campaign file, once before the campaign begins.
        let mut problems = Problems::new();
        for option in &terms.options {
            if !["dimension", "minimum"].contains(&option.key.as_str()) {
                problems.add(
                    Problem::at(&option.key, "is no option of this budget")
                        .hint("allowed: dimension, minimum"),
                );
            }
        }
        let Options { dimension, minimum } = Options::of(terms);
        if terms.dimension(dimension).is_none() {
            let known: Vec<&str> = terms.dimensions.iter().map(|known| known.name.as_str()).collect();
            problems.add(
                Problem::at("dimension", format!("the space has no dimension `{dimension}`"))
                    .hint(format!("it has {}", known.join(", "))),
            );
        }
        if minimum < 1 {
            problems.add(Problem::at("minimum", "must be a whole number from 1"));
        }
        problems.into_result()
    }

    fn assess(
        terms: &Terms,
        history: &History,
        batch: &[Configuration],
    ) -> Result<Vec<Verdict>, Error> {
        let Options { dimension, minimum } = Options::of(terms);
        let Some(leader) = &history.leader else {
            return Ok(vec![Verdict::Admit; batch.len()]);
        };
        let leading = get(&leader.configuration, dimension);
        let stays = |idea: &Configuration| get(idea, dimension) == leading;
        let elsewhere = batch.iter().filter(|idea| !stays(idea)).count() as i64;
        // A cycle too small for the minimum need not do more than it can.
        if elsewhere >= minimum.min(batch.len() as i64) {
            return Ok(vec![Verdict::Admit; batch.len()]);
        }
        let refusal = format!(
            "this cycle has {elsewhere} ideas whose {dimension} is not the leader's ({}), and needs \
             {minimum}",
            shown(leading)
        );
        // Those that do leave the leader stay.
        let verdict = |idea| match stays(idea) {
            true => Verdict::Refuse(refusal.clone()),
            false => Verdict::Admit,
        };
        Ok(batch.iter().map(verdict).collect())
    }

    fn budget(terms: &Terms, history: &History) -> Result<Vec<String>, Error> {
        let Options { dimension, minimum } = Options::of(terms);
        let rule = |leader: &Finished| {
            let leading = shown(get(&leader.configuration, dimension));
            format!("At least {minimum} of your ideas must have a {dimension} other than {leading}.")
        };
        Ok(history.leader.iter().map(rule).collect())
    }
}

/// What the campaign file says.
struct Options<'a> {
    /// The dimension that is watched.
    dimension: &'a str,
    /// How many ideas must leave the leader in it; 0 where it is no number.
    minimum: i64,
}

impl<'a> Options<'a> {
    fn of(terms: &'a Terms) -> Self {
        Self {
            dimension: match terms.option("dimension") {
                Some(OptionValue::Text(name)) => name,
                _ => "backbone",
            },
            minimum: match terms.option("minimum") {
                Some(OptionValue::Integer(minimum)) => *minimum,
                Some(_) => 0,
                None => 1,
            },
        }
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "none".into(), ToString::to_string)
}

orze_plugin::export_diversity!(MyBudget);

#[cfg(test)]
mod tests {
    use super::*;

    fn idea(backbone: &str) -> Configuration {
        vec![Setting::new("backbone", backbone)]
    }

    #[test]
    fn a_cycle_that_stays_with_the_leader_is_refused() {
        let terms = Terms {
            options: Vec::new(),
            dimensions: Vec::new(),
        };
        let history = History {
            leader: Some(Finished {
                id: 1,
                researcher: "somebody".into(),
                configuration: idea("first"),
                objective: Some(0.9),
            }),
            recent: Vec::new(),
        };
        let refused = |batch: &[Configuration]| {
            let verdicts = MyBudget::assess(&terms, &history, batch).unwrap();
            verdicts.iter().filter(|verdict| **verdict != Verdict::Admit).count()
        };
        assert_eq!(refused(&[idea("first"), idea("first")]), 2);
        assert_eq!(refused(&[idea("first"), idea("second")]), 0);
        assert_eq!(refused(&[]), 0);
    }
}
