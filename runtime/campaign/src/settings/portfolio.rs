//! A `[[researcher]]` of kind `portfolio`: proposes nothing itself and moves the credit of others.

use serde::Deserialize;

use super::{ResearcherSettings, Settings};
use crate::error::InputError;

/// The kind of a researcher that is a portfolio.
pub const PORTFOLIO: &str = "portfolio";

/// What a portfolio does, with its members found.
#[derive(Debug, Clone, PartialEq)]
pub struct PortfolioSettings {
    /// Its name.
    pub name: String,
    /// The researchers whose credit it moves, by their position among the others.
    pub members: Vec<usize>,
    /// What gains are paid for with.
    pub cost: PortfolioCost,
    /// Finished ideas that count, the last ones.
    pub window: usize,
    /// The part of an even share that each member keeps, 0 to 1.
    pub floor: f64,
    /// How many times as much a member counts that suits the regime.
    pub preference: f64,
}

/// What gains are paid for with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortfolioCost {
    /// Each experiment costs the same.
    #[default]
    Experiments,
    /// The seconds that a slot worked on it.
    Seconds,
}

/// Shares must be seen to change before the campaign is over, and not by a single result.
const WINDOW: usize = 100;
const SMALLEST_WINDOW: usize = 10;
const FLOOR: f64 = 0.05;
const PREFERENCE: f64 = 3.0;

impl ResearcherSettings {
    /// Whether it moves credit instead of proposing.
    pub fn is_portfolio(&self) -> bool {
        self.kind == PORTFOLIO
    }

    /// A key that only portfolios take and that is set.
    fn first_portfolio_key(&self) -> Option<&'static str> {
        [
            ("members", self.members.is_some()),
            ("cost", self.cost.is_some()),
            ("window", self.window.is_some()),
            ("floor", self.floor.is_some()),
            ("preference", self.preference.is_some()),
        ]
        .into_iter()
        .find_map(|(name, set)| set.then_some(name))
    }

    /// Checks the keys of a portfolio, or that there are none of them.
    pub(super) fn check_portfolio(&self, key: &str) -> Result<(), InputError> {
        let at = |name: &str| format!("{key}.{name}");
        if !self.is_portfolio() {
            return self.first_portfolio_key().map_or(Ok(()), |name| {
                Err(InputError::new(format!(
                    "is for portfolios, and `{}` is a researcher of its own",
                    self.kind
                ))
                .at_key(at(name))
                .hint("remove it, or add a `[[researcher]]` of kind `portfolio`"))
            });
        }
        if self.standby {
            return Err(InputError::new(
                "is for who proposes: a portfolio moves the credit of others",
            )
            .at_key(at("standby")));
        }
        if self.window.is_some_and(|window| window < SMALLEST_WINDOW) {
            return Err(
                InputError::new(format!("must be at least {SMALLEST_WINDOW}")).at_key(at("window")),
            );
        }
        if self
            .floor
            .is_some_and(|floor| !(0.0..=1.0).contains(&floor))
        {
            return Err(InputError::new("must be in 0..=1").at_key(at("floor")));
        }
        if self
            .preference
            .is_some_and(|preference| !(preference.is_finite() && preference >= 1.0))
        {
            return Err(InputError::new("must be at least 1")
                .at_key(at("preference"))
                .hint("1 leaves the regime out of it"));
        }
        Ok(())
    }
}

impl Settings {
    /// Takes the portfolio out of the researchers, who are those that propose from then on.
    pub(super) fn take_portfolio(&mut self) -> Result<(), InputError> {
        let places: Vec<usize> = (0..self.researcher.len())
            .filter(|index| self.researcher[*index].is_portfolio())
            .collect();
        let Some(&place) = places.first() else {
            return Ok(());
        };
        if let Some(second) = places.get(1) {
            return Err(InputError::new("a campaign has one portfolio at most")
                .at_key(format!("researcher.{second}.kind")));
        }
        let own = self.researcher.remove(place);
        let key = |name: &str| format!("researcher.{place}.{name}");
        let others = &self.researcher;
        let members = match &own.members {
            None => {
                let proposing = others.iter().enumerate().filter(|(_, r)| !r.standby);
                proposing.map(|(index, _)| index).collect()
            }
            Some(names) => {
                let mut members: Vec<usize> = Vec::new();
                for name in names {
                    let found = others.iter().position(|other| other.name == *name);
                    let index = found.ok_or_else(|| {
                        InputError::new(format!("there is no researcher `{name}`"))
                            .at_key(key("members"))
                            .hint_nearest(name, others.iter().map(|other| other.name.as_str()))
                    })?;
                    if others[index].standby {
                        return Err(InputError::new(format!(
                            "`{name}` is on standby: it proposes only while nothing waits"
                        ))
                        .at_key(key("members")));
                    }
                    if !members.contains(&index) {
                        members.push(index);
                    }
                }
                members
            }
        };
        if members.len() < 2 {
            return Err(InputError::new(
                "a portfolio needs two researchers to move credit between",
            )
            .at_key(key("members"))
            .hint("add `[[researcher]]`s that propose, such as `random` and `tpe`"));
        }
        self.portfolio = Some(PortfolioSettings {
            name: own.name,
            members,
            cost: own.cost.unwrap_or_default(),
            window: own.window.unwrap_or(WINDOW),
            floor: own.floor.unwrap_or(FLOOR),
            preference: own.preference.unwrap_or(PREFERENCE),
        });
        Ok(())
    }
}
