//! A diversity plugin that misbehaves on request: the option `do` says how. Without it, it admits
//! every other idea.

use orze_plugin::diversity::*;

struct Hostile;

impl Diversity for Hostile {
    fn check(terms: &Terms) -> Result<(), Error> {
        match terms.options.iter().find(|option| option.key != "do") {
            None => Ok(()),
            Some(option) => Err(Error::Invalid(vec![Problem {
                key: Some(option.key.clone()),
                message: "is no option".to_owned(),
                hint: Some("leave it out".to_owned()),
            }])),
        }
    }

    fn assess(
        terms: &Terms,
        history: &History,
        batch: &[Configuration],
    ) -> Result<Vec<Verdict>, Error> {
        let mut verdicts: Vec<Verdict> = (0..batch.len())
            .map(|idea| match idea % 2 {
                0 => Verdict::Admit,
                _ => Verdict::Refuse(format!(
                    "{} dimensions, {} finished, the last is {}",
                    terms.dimensions.len(),
                    history.recent.len(),
                    history.recent.last().map_or(0, |last| last.id)
                )),
            })
            .collect();
        match wish(terms) {
            Some("fewer") => drop(verdicts.pop()),
            Some("more") => verdicts.push(Verdict::Admit),
            Some("no-reason") => verdicts.fill(Verdict::Refuse(String::new())),
            Some("long-reason") => verdicts.fill(Verdict::Refuse("é".repeat(100_000))),
            _ => {}
        }
        Ok(verdicts)
    }

    fn budget(terms: &Terms, _: &History) -> Result<Vec<String>, Error> {
        Ok(match wish(terms) {
            Some("many-lines") => vec![String::new(); 65],
            Some("long-line") => vec!["x".repeat(1_001)],
            _ => vec!["one line".to_owned()],
        })
    }
}

/// What the options ask for.
fn wish(terms: &Terms) -> Option<&str> {
    terms.options.iter().find_map(|option| match &option.value {
        OptionValue::Text(text) if option.key == "do" => Some(text.as_str()),
        _ => None,
    })
}

orze_plugin::export_diversity!(Hostile);
