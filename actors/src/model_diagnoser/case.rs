//! One case as it is asked about: the prompt, the answer, at most one correction.

use std::collections::BTreeMap;
use std::path::Path;

use orze_campaign::settings::TrainerSettings;
use orze_campaign::{Execution, ExperimentRecord, Treatment};
use orze_healing::{Case, patch};
use orze_llm::diagnosis::{CaseBrief, advice_schema, correction, prompt, read_advice};
use orze_llm::wire::{Message, Request, Role};

use crate::agent::Model;
use crate::context::Context;

/// Bytes of a file that a model is shown.
const LARGEST_FILE: u64 = 256 << 10;

/// A case that a model is asked about.
#[derive(Debug)]
pub(super) struct OpenCase {
    pub record: ExperimentRecord,
    inherited: u32,
    pub request: Request,
    /// The script as its last attempt ran it, by relative name.
    code: BTreeMap<String, String>,
    corrected: bool,
    /// Calls so far.
    pub calls: u32,
    /// Tries of the present call.
    pub tries: u32,
}

/// What becomes of an answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// It can be done.
    Advice(Treatment, String),
    /// Nothing came of it.
    Nothing(String),
    /// Ask once more.
    Correct,
}

impl OpenCase {
    /// Writes the prompt.
    ///
    /// # Errors
    /// Why the model can't be asked about it.
    pub fn begin(
        context: &Context,
        model: &Model,
        record: ExperimentRecord,
        inherited: u32,
        reason: &str,
    ) -> Result<Self, String> {
        let failure = record.failure.clone().ok_or("it failed without a reason")?;
        let code = script(&context.settings.trainer)?;
        let code = Execution::after(&record.treatments)
            .patches
            .iter()
            .try_fold(code, |code, diff| patch::apply(&code, diff))
            .map_err(|error| error.to_string())?;
        let files: Vec<(String, String)> = code.clone().into_iter().collect();
        let configuration = context.space.complete(&record.config);
        let (system, user) = prompt(&CaseBrief {
            record: &record,
            failure: &failure,
            space: &context.space,
            configuration: &configuration,
            code: &files,
            reason,
        });
        let user = model.redactor().redact(&user).into_owned();
        let mut request = model.request(&context.space, system, 1);
        if request.schema.is_some() {
            request.schema = Some(advice_schema(&context.space));
        }
        request.messages.push(Message {
            role: Role::User,
            text: user,
        });
        Ok(Self {
            record,
            inherited,
            request,
            code,
            corrected: false,
            calls: 0,
            tries: 0,
        })
    }

    /// Whether it is about this attempt.
    pub fn is_of(&self, record: &ExperimentRecord) -> bool {
        (self.record.id, self.record.attempt) == (record.id, record.attempt)
    }

    /// Takes in an answer.
    pub fn answered(&mut self, context: &Context, text: &str) -> Answer {
        self.tries = 0;
        let advice = match read_advice(text, &context.space) {
            Ok(advice) => advice,
            Err(error) => return self.correct(text, &error.to_string()),
        };
        let Some(treatment) = advice.treatment else {
            return Answer::Nothing(format!("nothing helps: {}", advice.diagnosis));
        };
        match self.admits(context, &treatment) {
            Ok(()) => Answer::Advice(treatment, advice.diagnosis),
            Err(why) => self.correct(text, &why),
        }
    }

    fn admits(&self, context: &Context, treatment: &Treatment) -> Result<(), String> {
        let failure = self.record.failure.as_ref().ok_or("it did not fail")?;
        let case = Case {
            record: &self.record,
            failure,
            space: &context.space,
            trainer: context.settings.trainer.kind,
            inherited: self.inherited,
        };
        case.admits(treatment)?;
        let before = &self.record.treatments;
        if before.iter().any(|treated| treated.treatment == *treatment) {
            return Err("it was done before, without success".to_owned());
        }
        if let Treatment::Patch { diff } = treatment {
            patch::check(&self.code, diff).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Explains once what is wrong with an answer.
    fn correct(&mut self, text: &str, why: &str) -> Answer {
        if self.corrected {
            return Answer::Nothing(format!("no answer could be used: {why}"));
        }
        self.corrected = true;
        self.request.messages.extend([
            Message {
                role: Role::Assistant,
                text: text.to_owned(),
            },
            Message {
                role: Role::User,
                text: correction(why),
            },
        ]);
        Answer::Correct
    }
}

/// The files of the user's script that a model may see, by relative name.
fn script(trainer: &TrainerSettings) -> Result<BTreeMap<String, String>, String> {
    let folder = trainer.folder.as_deref().unwrap_or(Path::new(""));
    let mut files = BTreeMap::new();
    for name in &trainer.code {
        let file = folder.join(name);
        let unreadable = |error: &dyn std::fmt::Display| format!("{}: {error}", name.display());
        let size = std::fs::metadata(&file)
            .map_err(|error| unreadable(&error))?
            .len();
        if size > LARGEST_FILE {
            return Err(unreadable(&"is too large to be shown to a model"));
        }
        let text = std::fs::read_to_string(&file).map_err(|error| unreadable(&error))?;
        files.insert(name.to_string_lossy().into_owned(), text);
    }
    Ok(files)
}
