//! Who should propose more: credit moves between researchers by what they gain for what they cost.
//!
//! Gain is counted by rank, so that neither the scale of the objective nor one lucky result
//! decides: among the last [`PortfolioSettings::window`] finished experiments the best fifth is
//! where the running best and the upper quantile move, and each place there is worth more the
//! higher it is. A researcher's rate is what its experiments earned there for what they cost, in
//! experiments, seconds or dollars; little experience is pulled towards the mean of all. Shares
//! follow a power of the rates, times the weight that the member has beforehand, times a preference
//! for who suits the regime, and everybody keeps a floor: who is good later must be seen to be.
//!
//! The shares are a function of the finished experiments in their order, so a restarted campaign
//! has those that it stopped with.

mod balance;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use orze_campaign::{Point, Regime, Space};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::novelty::key;
use crate::policy::{Observation, Policy, PolicyKind, Proposal, build};

pub use balance::Balance;

/// What a researcher is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Brings architectures that nobody tried: language models, uniform draws.
    Explorer,
    /// Tunes what is there: TPE.
    Tuner,
    /// Does some of both: evolution.
    Both,
}

/// A researcher of the portfolio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// What it is good for.
    pub role: Role,
    /// What is believed of it beforehand: its share, relative to the others, while nothing is
    /// known. A weight that is not positive counts as 1.
    pub weight: f64,
}

/// How credit moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PortfolioSettings {
    /// Finished experiments that count, the last ones.
    pub window: usize,
    /// The share that each member keeps whatever it gains, as a part of an even share: 0 to 1.
    pub floor: f64,
    /// The power of the rates that shares follow: 1 matches them, more follows the best one.
    pub sharpness: f64,
    /// How much more a member that suits the regime counts than one that does not.
    pub preference: f64,
}

impl Default for PortfolioSettings {
    fn default() -> Self {
        Self {
            window: 100,
            floor: 0.05,
            sharpness: 3.0,
            preference: 3.0,
        }
    }
}

/// The window's best share, where gains are made.
const TOP: f64 = 0.2;
/// Places in it at least.
const FEWEST: usize = 3;
/// Experiments of average cost that a rate is pulled to the mean by.
const PRIOR: f64 = 20.0;

#[derive(Debug, Clone, Copy)]
struct Finished {
    member: usize,
    objective: Option<f64>,
    cost: f64,
}

/// The allocator.
#[derive(Debug, Clone)]
pub struct Portfolio {
    settings: PortfolioSettings,
    members: Vec<Member>,
    regime: Regime,
    window: VecDeque<Finished>,
}

impl Portfolio {
    /// An allocator over members that have not finished anything.
    pub fn new(members: &[Member], settings: PortfolioSettings) -> Self {
        Self {
            settings,
            members: members.to_vec(),
            regime: Regime::Undecided,
            window: VecDeque::new(),
        }
    }

    /// An experiment of a member has finished, with its objective (always maximised; `None` when
    /// it failed) and its cost in whatever unit all share. A cost that is not a positive number
    /// counts as nothing. Members that do not exist are ignored.
    pub fn finished(&mut self, member: usize, objective: Option<f64>, cost: f64) {
        if member >= self.members.len() {
            return;
        }
        if self.window.len() == self.settings.window.max(1) {
            self.window.pop_front();
        }
        self.window.push_back(Finished {
            member,
            objective: objective.filter(|objective| objective.is_finite()),
            cost: if cost.is_finite() { cost.max(0.0) } else { 0.0 },
        });
    }

    /// What is known of the regime.
    pub fn set_regime(&mut self, regime: Regime) {
        self.regime = regime;
    }

    /// What it was told last.
    pub fn regime(&self) -> Regime {
        self.regime
    }

    /// The members' shares: positive, summing to 1.
    pub fn shares(&self) -> Vec<f64> {
        let rates = self.rates();
        let wanted: Vec<f64> = rates
            .iter()
            .zip(&self.members)
            .map(|(rate, member)| {
                let weight = if member.weight > 0.0 && member.weight.is_finite() {
                    member.weight
                } else {
                    1.0
                };
                weight * rate.powf(self.settings.sharpness) * self.preference(member.role)
            })
            .collect();
        let sum: f64 = wanted.iter().sum();
        let even = 1.0 / real(self.members.len().max(1));
        let floor = self.settings.floor.clamp(0.0, 1.0);
        wanted
            .iter()
            .map(|wanted| {
                let earned = if sum > 0.0 { wanted / sum } else { even };
                floor * even + (1.0 - floor) * earned
            })
            .collect()
    }

    fn preference(&self, role: Role) -> f64 {
        let suits = matches!(
            (self.regime, role),
            (Regime::Architecture, Role::Explorer) | (Regime::Hyperparameters, Role::Tuner)
        );
        if suits {
            self.settings.preference.max(1.0)
        } else {
            1.0
        }
    }

    /// Gain for cost of each member, relative to the mean of all; 1 where nothing is known.
    fn rates(&self) -> Vec<f64> {
        let mut ranked: Vec<(f64, usize)> = self
            .window
            .iter()
            .filter_map(|finished| Some((finished.objective?, finished.member)))
            .collect();
        // Equal results in the order of finishing: the first one made the gain.
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut gains = vec![0.0; self.members.len()];
        let places = share_of(ranked.len()).min(ranked.len());
        for (place, (_, member)) in ranked.iter().take(places).enumerate() {
            gains[*member] += real(places - place);
        }
        let mut costs = vec![0.0; self.members.len()];
        for finished in &self.window {
            costs[finished.member] += finished.cost;
        }
        let (gain, cost): (f64, f64) = (gains.iter().sum(), costs.iter().sum());
        if gain <= 0.0 || cost <= 0.0 {
            return vec![1.0; self.members.len()];
        }
        let mean = gain / cost;
        let prior = PRIOR * cost / real(self.window.len());
        gains
            .iter()
            .zip(&costs)
            .map(|(gain, cost)| (gain + prior * mean) / (cost + prior) / mean)
            .collect()
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn share_of(results: usize) -> usize {
    ((real(results) * TOP).ceil() as usize).max(FEWEST)
}

/// How the regime is estimated from points and their objectives, in the order of finishing.
pub type Estimator = Box<dyn Fn(&[(Point, f64)]) -> Regime + Send>;

/// The portfolio as a policy over other policies, for simulations. All of them observe everything.
pub struct PortfolioPolicy {
    portfolio: Portfolio,
    policies: Vec<Box<dyn Policy>>,
    /// Whose proposal a point in flight is.
    authors: HashMap<Vec<u64>, usize>,
    /// Whose turn it is, where that is settled.
    due: Option<usize>,
    /// Results of the opening round.
    opening: Vec<(Point, f64)>,
    round: usize,
    estimator: Option<Estimator>,
}

impl PortfolioPolicy {
    /// A portfolio of policies that have not been told anything.
    pub fn new(members: Vec<(Member, Box<dyn Policy>)>, settings: PortfolioSettings) -> Self {
        let (members, policies): (Vec<Member>, Vec<_>) = members.into_iter().unzip();
        Self {
            portfolio: Portfolio::new(&members, settings),
            policies,
            authors: HashMap::new(),
            due: None,
            opening: Vec::new(),
            round: 0,
            estimator: None,
        }
    }

    /// Random draws, TPE and evolution, with most of the credit on TPE until something is known:
    /// the one that is the best of the three where nobody looked.
    pub fn usual(space: &Arc<Space>) -> Self {
        let member = |kind, role, weight| {
            let policy = build(kind, Arc::clone(space));
            (Member { role, weight }, policy)
        };
        Self::new(
            vec![
                member(PolicyKind::Random, Role::Explorer, 1.0),
                member(PolicyKind::Tpe, Role::Tuner, 10.0),
                member(PolicyKind::Evolution, Role::Both, 1.0),
            ],
            PortfolioSettings::default(),
        )
    }

    /// Estimates the regime from the first `round` results.
    #[must_use]
    pub fn with_regime(mut self, round: usize, estimator: Estimator) -> Self {
        self.round = round;
        self.estimator = Some(estimator);
        self
    }

    /// The allocator, with its shares and what it knows of the regime.
    pub fn allocator(&self) -> &Portfolio {
        &self.portfolio
    }

    fn learn(&mut self, point: &Point, objective: Option<f64>) {
        let Some(author) = self.authors.remove(&key(point)) else {
            return;
        };
        self.portfolio.finished(author, objective, 1.0);
        if let (Some(objective), Some(estimator)) = (objective, &self.estimator)
            && self.opening.len() < self.round
        {
            self.opening.push((point.clone(), objective));
            if self.opening.len() == self.round {
                self.portfolio.set_regime(estimator(&self.opening));
            }
        }
    }
}

impl Policy for PortfolioPolicy {
    fn name(&self) -> &'static str {
        "portfolio"
    }

    fn ask(&mut self, n: usize, rng: &mut ChaCha8Rng) -> Vec<Proposal> {
        let mut proposals = Vec::with_capacity(n);
        let mut shares = self.portfolio.shares();
        while proposals.len() < n {
            let due = self.due.take();
            let Some(member) = due.or_else(|| draw(&shares, rng)) else {
                break;
            };
            let Some(mut proposal) = self.policies[member].ask(1, rng).pop() else {
                // It has nothing left to propose.
                shares[member] = 0.0;
                continue;
            };
            let proposed = key(&proposal.point);
            // Members don't know what the others were asked for in this batch.
            if self.authors.contains_key(&proposed) {
                continue;
            }
            self.authors.insert(proposed, member);
            proposal.rationale =
                format!("{}: {}", self.policies[member].name(), proposal.rationale);
            proposals.push(proposal);
        }
        proposals
    }

    fn pick(&mut self, rows: &[&Point], rng: &mut ChaCha8Rng) -> Option<usize> {
        let member = draw(&self.portfolio.shares(), rng)?;
        let place = self.policies[member].pick(rows, rng);
        match place.and_then(|place| rows.get(place)) {
            Some(row) => drop(self.authors.insert(key(row), member)),
            // Whose turn it is may ask for a point instead.
            None => self.due = Some(member),
        }
        place
    }

    fn tell(&mut self, observation: &Observation) {
        for policy in &mut self.policies {
            policy.tell(observation);
        }
        if let Observation::Finished {
            point, objective, ..
        } = observation
        {
            self.learn(point, *objective);
        }
    }
}

/// A member by its share; `None` when none has one left.
fn draw(shares: &[f64], rng: &mut ChaCha8Rng) -> Option<usize> {
    let sum: f64 = shares.iter().sum();
    if sum <= 0.0 {
        return None;
    }
    let mut left = rng.random::<f64>() * sum;
    let drawn = shares.iter().position(|share| {
        left -= share;
        *share > 0.0 && left < 0.0
    });
    drawn.or_else(|| shares.iter().rposition(|share| *share > 0.0))
}

#[allow(clippy::cast_precision_loss)]
fn real(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
