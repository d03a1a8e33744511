//! From a campaign file to everything a run needs, verified before anything is written.

use std::path::Path;
use std::sync::Arc;

use orze_actors::agent::Model;
use orze_actors::devices::{self, Machine, SlotPlan};
use orze_actors::equipment::{Equipment, equip};
use orze_campaign::chaos::Chaos;
use orze_campaign::protocol::TrainerSpec;
use orze_campaign::settings::{
    AgentKind, Auto, PORTFOLIO, Precision, ResearcherSettings, TrainerKind, TrainerSettings,
};
use orze_campaign::{InputError, Settings, Space};
use orze_ledger::{Identity, LedgerSettings};
use orze_search::PolicyKind;
use orze_train::command;
use orze_train::dataset;
use orze_train::pack::{Pack, PackSummary};
use orze_train::surrogate::Surrogate;

use crate::arguments::Arguments;
use crate::verify::{verify_data, verify_pack, verify_surrogate};

/// A verified campaign.
#[derive(Debug)]
pub struct Prepared {
    /// The campaign file, with the flags applied.
    pub settings: Settings,
    /// The search space.
    pub space: Arc<Space>,
    /// The plugins, and what the task says of itself.
    pub equipment: Equipment,
    /// What the encoders of the space are, where the trainer builds any.
    pub encoders: Option<String>,
    /// What the trainer trains on.
    pub data: Data,
    /// Where experiments will run.
    pub slots: Vec<SlotPlan>,
    /// Finished experiments at which the campaign is done.
    pub experiments: Option<u64>,
    /// Faults to be injected.
    pub chaos: Option<Chaos>,
    /// Digest of the program.
    pub binary: String,
    /// The keys of language models that are not there; only running needs them.
    pub missing_keys: Vec<InputError>,
}

/// What the trainer trains on.
#[derive(Debug)]
pub enum Data {
    /// A feature pack.
    Pack(Box<PackSummary>),
    /// A surrogate, by the digest of its file.
    Surrogate(String),
    /// The user's program, by the digest of its files.
    Command(String),
}

impl Data {
    /// The digest that the ledger remembers.
    pub fn digest(&self) -> &str {
        match self {
            Self::Pack(summary) => &summary.digest,
            Self::Surrogate(digest) | Self::Command(digest) => digest,
        }
    }

    /// The task in words.
    pub fn task(&self) -> &str {
        match self {
            Self::Pack(summary) => &summary.description,
            Self::Command(_) => "command: the user's own program",
            Self::Surrogate(_) => "surrogate: a closed form or table, no training",
        }
    }
}

/// The campaign file that the user named.
pub fn campaign_file(arguments: &Arguments) -> Result<&Path, InputError> {
    arguments.config.as_deref().ok_or_else(|| {
        InputError::new("which campaign? no `--config` was given")
            .hint("try `orze-runtime --config configs/quickstart.toml`; `--help` explains")
    })
}

/// Reads the campaign file and applies the flags.
pub fn settings(arguments: &Arguments) -> Result<Settings, InputError> {
    let mut settings = Settings::read(campaign_file(arguments)?)?;
    if let Some(folder) = &arguments.dir {
        settings.campaign.directory = std::path::absolute(folder).map_err(|error| {
            InputError::new(format!("is no usable path: {error}")).in_file(folder)
        })?;
    }
    if let Some(slots) = arguments.slots {
        if slots == 0 {
            return Err(InputError::new("must be above 0").at_key("--slots"));
        }
        settings.slots.count = Auto::Is(slots);
    }
    Ok(settings)
}

/// Verifies everything that can be verified without training; writes nothing.
pub fn prepare(arguments: &Arguments) -> Result<Prepared, InputError> {
    let file = campaign_file(arguments)?;
    let settings = settings(arguments)?;
    let in_file = |error: InputError| error.in_file(file);
    // A template or a key file is named itself.
    let own_file = |error: InputError| match &error.file {
        Some(_) => error,
        None => in_file(error),
    };
    let mut missing_keys = Vec::new();
    let researchers = settings.researcher.iter().enumerate();
    let researchers = researchers.map(|(index, own)| (format!("researcher.{index}"), own));
    let diagnoser = settings.healing.model.iter();
    let diagnoser = diagnoser.map(|model| ("healing.model".to_owned(), model));
    for (at, researcher) in researchers.chain(diagnoser) {
        if let Some(error) = verify_researcher(&at, researcher).map_err(own_file)? {
            missing_keys.push(own_file(error));
        }
    }
    let gpus = match settings.trainer.kind {
        TrainerKind::Candle => dataset::gpus(),
        // A script of the user's brings its own way to the GPUs.
        TrainerKind::Command => devices::nvidia_gpus(),
        TrainerKind::Surrogate => 0,
    };
    let slots = devices::plan(&settings.slots, Machine::with_gpus(gpus)).map_err(in_file)?;
    verify_precision(&settings.trainer, &slots).map_err(in_file)?;
    let source = match settings
        .trainer_spec("cpu".to_owned(), 1)
        .map_err(in_file)?
    {
        TrainerSpec::Candle { data, .. } => {
            let pack = Pack::open(&data)?;
            let summary = PackSummary::of(&pack)?;
            Source::Pack(Box::new(pack), Box::new(summary))
        }
        TrainerSpec::Surrogate { file, .. } => Source::Surrogate(Surrogate::open(&file, 0.0, 0.0)?),
        TrainerSpec::Command(spec) => Source::Command(command::verify(&spec).map_err(own_file)?),
    };
    let equipment = equip(&settings, file, source.frames())?;
    let space = Arc::clone(&equipment.space);
    let (data, encoders) = match source {
        Source::Pack(pack, summary) => {
            if let Some(task) = &equipment.task {
                verify_data(task, &pack)?;
            }
            let encoders = verify_pack(&settings, &equipment, &pack, &summary)?;
            if let Some(backbone) = settings
                .task
                .as_ref()
                .and_then(|task| task.baseline_backbone.as_deref())
                && pack.backbone(backbone)?.is_none()
            {
                let names = pack.manifest().backbones.iter();
                let error = InputError::new(format!("the pack has no backbone `{backbone}`"))
                    .at_key("task.baseline_backbone")
                    .hint_nearest(backbone, names.map(|entry| entry.name.as_str()));
                return Err(in_file(error));
            }
            (Data::Pack(summary), Some(encoders))
        }
        Source::Command(digest) => (Data::Command(digest), None),
        Source::Surrogate(surrogate) => {
            verify_surrogate(&settings, &space, &surrogate)?;
            (Data::Surrogate(surrogate.digest().to_owned()), None)
        }
    };
    let budget = &settings.campaign.budget;
    let experiments = arguments.max_experiments.or(budget.experiments);
    if experiments.is_none() && budget.hours.is_none() && budget.slot_hours.is_none() {
        return Err(in_file(
            InputError::new("says nowhere when the campaign is done")
                .at_key("campaign.budget")
                .hint("set `experiments`, `hours` or `slot_hours`, or pass `--max-experiments`"),
        ));
    }
    Ok(Prepared {
        settings,
        space,
        equipment,
        encoders,
        data,
        slots,
        experiments,
        chaos: Chaos::from_environment()?,
        binary: program_digest()?,
        missing_keys,
    })
}

/// A precision that no slot's device has is refused.
fn verify_precision(trainer: &TrainerSettings, slots: &[SlotPlan]) -> Result<(), InputError> {
    let on_gpus = slots.iter().all(|slot| slot.device != "cpu");
    if trainer.precision == Precision::F32 || trainer.kind == TrainerKind::Candle && on_gpus {
        return Ok(());
    }
    Err(InputError::new(
        "`tf32` is how candle multiplies matrices on a GPU, which this campaign does not",
    )
    .at_key("trainer.precision")
    .hint("leave it out, or train with candle on GPUs (`slots.device = \"cuda\"`)"))
}

/// Digest of the program that runs: a result names what has measured it.
fn program_digest() -> Result<String, InputError> {
    let digest = || -> std::io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(std::env::current_exe()?)?)?;
        Ok(hasher.finalize().to_hex()[..16].to_owned())
    };
    digest()
        .map_err(|error| InputError::new(format!("the program's own file can't be read: {error}")))
}

/// Checks what a researcher needs; gives the error of a key that is not there, which only running
/// needs.
fn verify_researcher(
    section: &str,
    researcher: &ResearcherSettings,
) -> Result<Option<InputError>, InputError> {
    let at = |error: InputError| match error.key.clone() {
        Some(key) => error.at_key(format!("{section}.{key}")),
        None => error.at_key(section),
    };
    if researcher.agent().is_some() {
        if let Err(error) = Model::key(researcher) {
            let what = error.key.as_deref().unwrap_or_default();
            let name = &researcher.name;
            let missing = InputError {
                message: format!("`{name}` has no key: {what}: {}", error.message),
                ..error
            };
            return Ok(Some(missing.at_key(format!("{section}.key"))));
        }
        return Model::open(researcher).map(|_| None).map_err(at);
    }
    if researcher.kind.parse::<PolicyKind>().is_ok() {
        return Ok(None);
    }
    let kind = &researcher.kind;
    let names = PolicyKind::ALL.map(PolicyKind::name);
    let agents = AgentKind::NAMES.map(|(name, _)| name);
    Err(
        at(InputError::new(format!("`{kind}` is no kind of researcher")).at_key("kind"))
            .hint_nearest(kind, names.into_iter().chain(agents).chain([PORTFOLIO])),
    )
}

/// What results come from, opened.
enum Source {
    Pack(Box<Pack>, Box<PackSummary>),
    Surrogate(Surrogate),
    /// The user's program, by the digest of its files.
    Command(String),
}

impl Source {
    /// Frames of the longest clip; 1 where there are no clips.
    fn frames(&self) -> u32 {
        let longest = match self {
            Self::Pack(_, summary) => summary.backbones.iter().map(|b| b.longest).max(),
            Self::Surrogate(_) | Self::Command(_) => None,
        };
        longest
            .and_then(|frames| u32::try_from(frames).ok())
            .unwrap_or(1)
    }
}

/// The name of the trainer as records carry it.
pub fn trainer_name(settings: &Settings) -> &'static str {
    match settings.trainer.kind {
        TrainerKind::Candle => "candle",
        TrainerKind::Surrogate => "surrogate",
        TrainerKind::Command => "command",
    }
}

impl Prepared {
    /// How the ledger is opened.
    pub fn ledger_settings(&self) -> LedgerSettings {
        let data = self.data.digest().to_owned();
        let mut digests = self.equipment.digests.clone();
        digests.insert("data".to_owned(), data.clone());
        digests.insert("binary".to_owned(), self.binary.clone());
        if self.settings.trainer.precision == Precision::Tf32 {
            digests.insert("precision".to_owned(), "tf32".to_owned());
        }
        LedgerSettings {
            identity: Identity {
                campaign: self.settings.campaign.name.clone(),
                space: self.space.digest(),
                trainer: trainer_name(&self.settings).to_owned(),
                data: data.clone(),
                encoders: self.encoders.clone(),
                objective: self.settings.trainer.objective.clone(),
            },
            digests,
        }
    }

    /// What each slot's worker trains with.
    pub fn trainers(&self) -> Result<Vec<TrainerSpec>, InputError> {
        self.slots
            .iter()
            .map(|slot| {
                self.settings
                    .trainer_spec(slot.device.clone(), slot.threads)
            })
            .collect()
    }
}
