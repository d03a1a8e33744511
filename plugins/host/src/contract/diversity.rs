//! The suite of diversity plugins.

use orze_campaign::{Configuration, InputError, Value};

use super::inputs::{at_random, finished, odd_configurations, odd_values};
use super::suite::{Ask, Stop, Subject, Suite, no_fault, text};
use super::{Report, Setting};
use crate::diversity::{DiversityInstance, History, OptionValue, Terms, Verdict};
use crate::fault::CallError;
use crate::instance::Usage;
use crate::limits::HISTORY;
use crate::plugin::Plugin;

/// Sizes of the batches that are assessed.
const BATCHES: [usize; 4] = [0, 1, 5, 50];

/// A budget, and what it is timed with.
pub(crate) struct DiversitySubject {
    instance: DiversityInstance,
    terms: Terms,
    history: History,
    batch: Vec<Configuration>,
}

#[derive(Debug)]
pub(crate) enum Question {
    Check(Terms),
    Assess(Terms, History, Vec<Configuration>),
    Budget(Terms, History),
}

impl DiversitySubject {
    pub(crate) fn new(plugin: &Plugin, setting: &Setting) -> Result<Self, InputError> {
        let points = at_random(&setting.space, HISTORY + 50);
        let (past, batch) = points.split_at(HISTORY);
        Ok(Self {
            instance: DiversityInstance::new(plugin)?,
            terms: Terms::new(setting.options.clone(), &setting.space),
            history: history(past),
            batch: batch.to_vec(),
        })
    }
}

/// Every seventh failed.
fn history(points: &[Configuration]) -> History {
    let recent: Vec<_> = (1..)
        .zip(points)
        .map(|(number, point)| {
            let objective = (number % 7 != 0).then_some(0.5);
            finished(number, point, objective)
        })
        .collect();
    History {
        leader: recent.first().cloned(),
        recent,
    }
}

impl Subject for DiversitySubject {
    fn main_name(&self) -> &'static str {
        "assess 10 ideas"
    }

    fn main(&mut self) -> Result<(), CallError> {
        let batch = &self.batch[..10.min(self.batch.len())];
        no_fault(self.instance.assess(&self.terms, &self.history, batch))
    }

    fn prepare(&mut self) -> Result<(), CallError> {
        self.instance.prepare()
    }

    fn reset(&mut self) {
        self.instance.reset();
    }

    fn usage(&self) -> Usage {
        self.instance.usage()
    }
}

impl Ask for DiversitySubject {
    type Question = Question;

    fn ask(&mut self, question: &Question) -> Result<String, CallError> {
        let instance = &mut self.instance;
        match question {
            Question::Check(terms) => text(instance.check(terms)),
            Question::Assess(terms, history, batch) => text(instance.assess(terms, history, batch)),
            Question::Budget(terms, history) => text(instance.budget(terms, history)),
        }
    }
}

pub(crate) fn run(plugin: &Plugin, setting: &Setting) -> Result<Report, InputError> {
    let subject = DiversitySubject::new(plugin, setting)?;
    let terms = subject.terms.clone();
    let full = subject.history.clone();
    let ideas = subject.batch.clone();
    let histories = [History::default(), full.clone()];
    let mut suite = Suite::new(plugin, subject);
    let mut works = false;
    suite.check("checks its options", |suite| {
        match suite.call(|budget| budget.instance.check(&terms)) {
            Ok(()) => {
                works = true;
                Ok(format!("accepts {}", options(&terms)))
            }
            Err(CallError::Refused(problems)) => {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                Ok(format!(
                    "refuses {}: {}",
                    options(&terms),
                    problems.join("; ")
                ))
            }
            Err(error) => Err(error.into()),
        }
    });
    suite.check("gives every idea a verdict", |suite| {
        verdicts(suite, works, &terms, &histories, &ideas)
    });
    suite.check("states the rules in force", |suite| {
        if !works {
            return Err(refuses());
        }
        let mut lines = 0;
        for history in &histories {
            lines = suite
                .call(|budget| budget.instance.budget(&terms, history))?
                .len();
        }
        Ok(format!("{lines} lines"))
    });
    let mut questions = vec![Question::Check(terms.clone())];
    for history in &histories {
        questions.push(Question::Budget(terms.clone(), history.clone()));
        for size in BATCHES {
            let batch = ideas[..size.min(ideas.len())].to_vec();
            questions.push(Question::Assess(terms.clone(), history.clone(), batch));
        }
    }
    suite.determinism(&questions);
    suite.edge_inputs(&edges(&terms, &full, &odd_configurations(&setting.space)));
    Ok(suite.finish())
}

fn options(terms: &Terms) -> String {
    match terms.options.as_slice() {
        [] => "having no options".to_owned(),
        options => {
            let keys: Vec<&str> = options.iter().map(|(key, _)| key.as_str()).collect();
            keys.join(", ")
        }
    }
}

fn refuses() -> Stop {
    Stop::Skipped("it refuses these options; give others".to_owned())
}

fn verdicts(
    suite: &mut Suite<DiversitySubject>,
    works: bool,
    terms: &Terms,
    histories: &[History],
    ideas: &[Configuration],
) -> Result<String, Stop> {
    if !works {
        return Err(refuses());
    }
    let (mut admitted, mut all) = (0, 0);
    for history in histories {
        for size in BATCHES {
            let batch = &ideas[..size.min(ideas.len())];
            // The number of verdicts is checked by the host.
            for verdict in suite.call(|budget| budget.instance.assess(terms, history, batch))? {
                all += 1;
                match verdict {
                    Verdict::Admit => admitted += 1,
                    Verdict::Refuse(reason) if reason.trim().is_empty() => {
                        return Err(Stop::Failed("a refusal without a reason".to_owned()));
                    }
                    Verdict::Refuse(_) => {}
                }
            }
        }
    }
    Ok(format!(
        "batches of 0, 1, 5 and 50, with and without a history: admits {admitted} of {all}"
    ))
}

fn edges(terms: &Terms, history: &History, odd: &[Configuration]) -> Vec<Question> {
    let mut questions = vec![
        Question::Check(Terms::default()),
        Question::Assess(Terms::default(), History::default(), odd.to_vec()),
        Question::Assess(terms.clone(), history.clone(), odd.to_vec()),
        Question::Budget(Terms::default(), History::default()),
    ];
    let odd_history = History {
        leader: odd.first().map(|first| finished(0, first, None)),
        recent: odd
            .iter()
            .map(|odd| finished(u64::MAX, odd, Some(f64::MAX)))
            .collect(),
    };
    questions.push(Question::Assess(
        terms.clone(),
        odd_history.clone(),
        odd.to_vec(),
    ));
    questions.push(Question::Budget(terms.clone(), odd_history.clone()));
    let keys: Vec<&str> = terms.options.iter().map(|(key, _)| key.as_str()).collect();
    for key in keys.into_iter().chain(["no_such_key", ""]) {
        let values = odd_values().into_iter().map(OptionValue::One);
        let lists = [
            OptionValue::Texts(Vec::new()),
            OptionValue::Texts(vec![String::new(); 1_000]),
            OptionValue::One(Value::Integer(-1)),
        ];
        for value in values.chain(lists) {
            let terms = Terms {
                options: vec![(key.to_owned(), value)],
                dimensions: terms.dimensions.clone(),
            };
            questions.push(Question::Check(terms.clone()));
            questions.push(Question::Assess(terms, odd_history.clone(), Vec::new()));
        }
    }
    questions
}
