//! The suite of task plugins.

use orze_campaign::{Configuration, InputError, Priority, Space};

use super::Report;
use super::inputs::{at_random, configurations, finished, odd_configurations};
use super::suite::{Ask, Stop, Subject, Suite, mute, no_fault, text};
use crate::fault::CallError;
use crate::instance::Usage;
use crate::plugin::Plugin;
use crate::task::{Finished, TaskDescription, TaskInstance};

const PRIORITIES: [Priority; 4] = [
    Priority::Low,
    Priority::Normal,
    Priority::High,
    Priority::Critical,
];

/// A task and the configuration that it is timed with.
pub(crate) struct TaskSubject {
    instance: TaskInstance,
    main: Configuration,
}

#[derive(Debug)]
pub(crate) enum Question {
    Describe,
    Validate(Configuration),
    Sweep(Finished),
    Prioritise(Configuration, Priority),
    Rules,
}

impl TaskSubject {
    pub(crate) fn new(plugin: &Plugin) -> Result<Self, InputError> {
        let mut instance = TaskInstance::new(plugin)?;
        let space = instance.describe().map_err(mute)?.space;
        let points = at_random(&space, 20);
        // One that is accepted takes the longest way through most checks.
        let main = points
            .iter()
            .find(|point| instance.validate(point).is_ok())
            .or(points.first())
            .cloned()
            .unwrap_or_default();
        Ok(Self { instance, main })
    }
}

impl Subject for TaskSubject {
    fn main_name(&self) -> &'static str {
        "validate"
    }

    fn main(&mut self) -> Result<(), CallError> {
        no_fault(self.instance.validate(&self.main))
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

impl Ask for TaskSubject {
    type Question = Question;

    fn ask(&mut self, question: &Question) -> Result<String, CallError> {
        let instance = &mut self.instance;
        match question {
            Question::Describe => text(instance.describe()),
            Question::Validate(configuration) => text(instance.validate(configuration)),
            Question::Sweep(base) => text(instance.sweep(base)),
            Question::Prioritise(configuration, proposed) => {
                text(instance.prioritise(configuration, *proposed))
            }
            Question::Rules => text(instance.rules()),
        }
    }
}

pub(crate) fn run(plugin: &Plugin) -> Result<Report, InputError> {
    let subject = TaskSubject {
        instance: TaskInstance::new(plugin)?,
        main: Configuration::default(),
    };
    let mut suite = Suite::new(plugin, subject);
    let mut description: Option<TaskDescription> = None;
    suite.check("describes itself and its space", |suite| {
        let found = suite.call(|task| task.instance.describe())?;
        let detail = format!(
            "{} {}: {} dimensions, {} fixed keys",
            found.name,
            found.version,
            found.space.dimensions.len(),
            found.space.fixed.len()
        );
        description = Some(found);
        Ok(detail)
    });
    let Some(space) = description.map(|description| description.space) else {
        return Ok(suite.finish());
    };
    let all = configurations(&space);
    let mut accepted = Vec::new();
    suite.check("judges every value of its space", |suite| {
        accepted = judged(suite, &all)?;
        if accepted.is_empty() {
            return Err(Stop::Failed(
                "refuses every configuration of its space".to_owned(),
            ));
        }
        Ok(format!("accepts {} of {}", accepted.len(), all.len()))
    });
    suite.check("gives every proposal a priority", |suite| {
        for configuration in all.iter().take(20) {
            for proposed in PRIORITIES {
                suite.call(|task| task.instance.prioritise(configuration, proposed))?;
            }
        }
        Ok("all four".to_owned())
    });
    suite.check("its variants are of its space", |suite| {
        variants(suite, &space, &accepted)
    });
    suite.check("states its rules", |suite| {
        let rules = suite.call(|task| task.instance.rules())?;
        if rules.trim().is_empty() {
            return Err(Stop::Skipped("it has none".to_owned()));
        }
        Ok(format!("{} bytes", rules.len()))
    });
    let mut questions = vec![Question::Describe, Question::Rules];
    for (number, configuration) in all.iter().enumerate().step_by(8) {
        let objective = (number % 3 != 0).then_some(0.5);
        questions.push(Question::Validate(configuration.clone()));
        questions.push(Question::Sweep(finished(1, configuration, objective)));
        let proposed = PRIORITIES[number / 8 % 4];
        questions.push(Question::Prioritise(configuration.clone(), proposed));
    }
    suite.determinism(&questions);
    suite.edge_inputs(&edges(&space));
    Ok(suite.finish())
}

/// The configurations that are accepted; the others must be refused with words.
fn judged(
    suite: &mut Suite<TaskSubject>,
    all: &[Configuration],
) -> Result<Vec<Configuration>, Stop> {
    let mut accepted = Vec::new();
    for configuration in all {
        match suite.call(|task| task.instance.validate(configuration)) {
            Ok(()) => accepted.push(configuration.clone()),
            Err(CallError::Refused(problems)) => {
                if problems
                    .iter()
                    .any(|problem| problem.message.trim().is_empty())
                {
                    return Err(Stop::Failed(format!(
                        "a refusal without a message, of {configuration}"
                    )));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(accepted)
}

/// Variants outside the space, or that the task itself refuses, would be dropped: say so.
fn variants(
    suite: &mut Suite<TaskSubject>,
    space: &Space,
    accepted: &[Configuration],
) -> Result<String, Stop> {
    let mut seen = 0;
    for configuration in accepted.iter().take(50) {
        for objective in [Some(0.7), None] {
            let base = finished(1, configuration, objective);
            let Some(variants) = suite.call(|task| task.instance.sweep(&base))? else {
                continue;
            };
            for variant in variants {
                seen += 1;
                if let Some(problem) = space.validate(&variant).first() {
                    return Err(Stop::Failed(format!(
                        "the variant {variant} is not in the space: {problem}"
                    )));
                }
                if let Err(error) = suite.call(|task| task.instance.validate(&variant)) {
                    return Err(Stop::Failed(format!(
                        "it refuses its own variant {variant}: {error}"
                    )));
                }
            }
        }
    }
    Ok(match seen {
        0 => "leaves sweeps to the campaign".to_owned(),
        seen => format!("{seen} variants"),
    })
}

fn edges(space: &Space) -> Vec<Question> {
    let mut questions = Vec::new();
    for odd in odd_configurations(space) {
        questions.push(Question::Validate(odd.clone()));
        for objective in [None, Some(f64::MAX), Some(-1.0)] {
            questions.push(Question::Sweep(finished(u64::MAX, &odd, objective)));
        }
        questions.push(Question::Prioritise(odd, Priority::Critical));
    }
    questions
}
