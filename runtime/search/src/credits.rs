//! Who may propose, and how much: the back-pressure that unbounded mailboxes lack. DESIGN §3.
//!
//! A credit is the right to propose one experiment. Credits are granted only for places that are
//! free in the queue and covered by the budget, so the queue can't outgrow its bound however fast
//! or many the researchers are. A grant is a batch; a researcher holds one grant at a time and
//! settles it: so many admitted, rejected, unused.
//!
//! Shares follow the weights by stride scheduling: each researcher has a pass that advances by
//! `credits / weight`, and the smallest pass is served first. A slow researcher keeps its claim,
//! up to a bounded catch-up.
//!
//! A researcher whose grants bear nothing rests for 1, 2, 4, … grants of the others, and after
//! `patience` fruitless grants in a row it is dormant until there is news (a finished experiment,
//! which a policy may learn from). One on standby is granted credits only while nothing waits, and
//! then even those that cover what a slow researcher still holds: slots don't wait for it, and what
//! it proposes beyond the budget stays in the queue. One
//! that is retired (out of money) is granted none ever again, one that is paused (its provider is
//! down) none until it is back, one that is held (its last proposals still wait, so that nothing was
//! learned from them) none until it is let go; both may still have something new to propose.

/// The position of a researcher in the campaign file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResearcherIndex(pub usize);

/// What became of the credits of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settlement {
    /// Proposals that were admitted and wait in the queue now.
    pub admitted: usize,
    /// Proposals that were rejected: schema, rule, diversity, duplicate.
    pub rejected: usize,
    /// Credits for which there was no proposal.
    pub unused: usize,
}

impl Settlement {
    fn total(self) -> usize {
        self.admitted + self.rejected + self.unused
    }
}

/// How many batches of the lightest researcher another can be behind and still catch up.
const CATCH_UP_BATCHES: f64 = 4.0;
/// The smallest weight of a researcher.
const SMALLEST_WEIGHT: f64 = 1e-3;
/// The longest rest is 2 to this power grants of the others.
const LONGEST_REST: u32 = 6;

#[derive(Debug, Clone)]
struct Account {
    weight: f64,
    /// Stride scheduling's virtual time.
    pass: f64,
    outstanding: usize,
    /// Whether the current grant has borne an admission.
    fruitful: bool,
    /// Grants in a row that bore nothing.
    fruitless: u32,
    /// Rests until so many grants have been given in all.
    rests_until: u64,
    granted: u64,
    /// Credits of a grant at most.
    batch: usize,
    standby: bool,
    retired: bool,
    paused: bool,
    held: bool,
}

/// All credits of a campaign.
#[derive(Debug, Clone)]
pub struct CreditBook {
    capacity: usize,
    batch: usize,
    patience: u32,
    accounts: Vec<Account>,
    grants: u64,
}

impl CreditBook {
    /// A book for a queue of `capacity` places, which grants at most `batch` credits at a time to
    /// researchers of these weights; one is dormant after `patience` fruitless grants in a row.
    /// Weights that are not positive count as the smallest positive share.
    pub fn new(capacity: usize, batch: usize, weights: &[f64], patience: u32) -> Self {
        let accounts = weights
            .iter()
            .map(|weight| Account {
                weight: if weight.is_finite() {
                    weight.max(SMALLEST_WEIGHT)
                } else {
                    1.0
                },
                pass: 0.0,
                outstanding: 0,
                fruitful: false,
                fruitless: 0,
                rests_until: 0,
                granted: 0,
                batch: batch.max(1),
                standby: false,
                retired: false,
                paused: false,
                held: false,
            })
            .collect();
        Self {
            capacity,
            batch: batch.max(1),
            patience: patience.max(1),
            accounts,
            grants: 0,
        }
    }

    /// Sets the most credits of a grant for each researcher, by their position.
    #[must_use]
    pub fn with_batches(mut self, batches: &[usize]) -> Self {
        for (account, &batch) in self.accounts.iter_mut().zip(batches) {
            account.batch = batch.clamp(1, self.batch);
        }
        self
    }

    /// Puts researchers on standby, by their position.
    #[must_use]
    pub fn with_standby(mut self, standby: &[bool]) -> Self {
        for (account, &standby) in self.accounts.iter_mut().zip(standby) {
            account.standby = standby;
        }
        self
    }

    /// Gives a researcher another weight; what it has been granted so far stays counted under the
    /// weights that it had then.
    pub fn set_weight(&mut self, researcher: ResearcherIndex, weight: f64) {
        if let Some(account) = self.accounts.get_mut(researcher.0)
            && weight.is_finite()
        {
            account.weight = weight.max(SMALLEST_WEIGHT);
        }
    }

    /// Grants nothing more to a researcher, and takes back what it holds.
    pub fn retire(&mut self, researcher: ResearcherIndex) {
        self.forfeit(researcher);
        if let Some(account) = self.accounts.get_mut(researcher.0) {
            account.retired = true;
        }
    }

    /// Grants nothing to a researcher for now, and takes back what it holds; or grants again.
    pub fn pause(&mut self, researcher: ResearcherIndex, paused: bool) {
        if paused {
            self.forfeit(researcher);
        }
        if let Some(account) = self.accounts.get_mut(researcher.0) {
            account.paused = paused;
        }
    }

    /// Grants nothing more to a researcher for now, or again; what it was granted stays.
    pub fn hold(&mut self, researcher: ResearcherIndex, held: bool) {
        if let Some(account) = self.accounts.get_mut(researcher.0) {
            account.held = held;
        }
    }

    /// Whether every researcher is retired.
    pub fn all_retired(&self) -> bool {
        self.accounts.iter().all(|account| account.retired)
    }

    /// Grants what there is room for. `queued` counts the experiments that wait; `budget_left`
    /// those that the budget still allows beyond the running and finished ones, so waiting ones
    /// are covered by it. Afterwards outstanding + queued ≤ min(capacity, budget_left), or nothing
    /// was granted.
    pub fn grant(&mut self, queued: usize, budget_left: usize) -> Vec<(ResearcherIndex, usize)> {
        let mut room = self
            .capacity
            .min(budget_left)
            .saturating_sub(queued)
            .saturating_sub(self.outstanding());
        let mut grants = Vec::new();
        while room > 0
            && let Some(index) = self.next(queued == 0)
        {
            let credits = self.accounts[index].batch.min(room);
            room -= credits;
            self.advance(index, credits);
            grants.push((ResearcherIndex(index), credits));
        }
        let waits = |account: &Account| account.standby && account.outstanding > 0;
        if queued == 0
            && budget_left > 0
            && !self.accounts.iter().any(waits)
            && let Some(index) = self.next_of(true, |account| account.standby)
        {
            let credits = self.accounts[index].batch.min(budget_left);
            self.advance(index, credits);
            grants.push((ResearcherIndex(index), credits));
        }
        grants
    }

    /// Who is served next: among those without a grant the smallest pass; one that rests only when
    /// nobody else can propose, one on standby only while nothing waits.
    fn next(&self, nothing_waits: bool) -> Option<usize> {
        self.next_of(nothing_waits, |_| true)
    }

    fn next_of(&self, nothing_waits: bool, among: impl Fn(&Account) -> bool) -> Option<usize> {
        let free = self.accounts.iter().enumerate().filter(|(_, account)| {
            account.outstanding == 0
                && among(account)
                && account.fruitless < self.patience
                && !account.retired
                && !account.paused
                && !account.held
                && (nothing_waits || !account.standby)
        });
        let rank = |account: &Account| {
            (
                account.rests_until.saturating_sub(self.grants),
                account.pass,
            )
        };
        free.min_by(|(_, a), (_, b)| {
            let (a, b) = (rank(a), rank(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        })
        .map(|(index, _)| index)
    }

    fn advance(&mut self, index: usize, credits: usize) {
        let foremost = self
            .accounts
            .iter()
            .map(|account| account.pass)
            .fold(0.0, f64::max);
        let lightest = self
            .accounts
            .iter()
            .map(|account| account.weight)
            .fold(f64::INFINITY, f64::min);
        let behind = CATCH_UP_BATCHES * to_f64(self.batch) / lightest;
        let account = &mut self.accounts[index];
        account.pass = account.pass.max(foremost - behind) + to_f64(credits) / account.weight;
        account.outstanding = credits;
        account.fruitful = false;
        account.granted += credits as u64;
        self.grants += 1;
    }

    /// Takes back credits that were used or are not needed; a grant may be settled in parts.
    /// Settling more than is outstanding returns what is.
    pub fn settle(&mut self, researcher: ResearcherIndex, settlement: Settlement) {
        let grants = self.grants;
        let Some(account) = self.accounts.get_mut(researcher.0) else {
            return;
        };
        if account.outstanding == 0 {
            return;
        }
        account.outstanding = account.outstanding.saturating_sub(settlement.total());
        if settlement.admitted > 0 {
            account.fruitful = true;
            account.fruitless = 0;
            account.rests_until = 0;
        }
        if account.outstanding == 0 && !account.fruitful {
            account.fruitless = account.fruitless.saturating_add(1);
            let rest = 1_u64 << (account.fruitless - 1).min(LONGEST_REST);
            account.rests_until = grants + rest;
        }
    }

    /// Takes back every credit of a researcher that was restarted and knows of none; not its
    /// fault, so it does not rest.
    pub fn forfeit(&mut self, researcher: ResearcherIndex) {
        if let Some(account) = self.accounts.get_mut(researcher.0) {
            account.outstanding = 0;
        }
    }

    /// There is something new to learn from: each dormant researcher gets one more try.
    pub fn news(&mut self) {
        for account in &mut self.accounts {
            account.fruitless = account.fruitless.min(self.patience - 1);
        }
    }

    /// Whether every researcher is dormant: nobody has anything new to propose.
    pub fn exhausted(&self) -> bool {
        self.accounts
            .iter()
            .all(|a| a.retired || (a.fruitless >= self.patience && !a.paused && !a.held))
    }

    /// Credits granted and not settled.
    pub fn outstanding(&self) -> usize {
        self.accounts
            .iter()
            .map(|account| account.outstanding)
            .sum()
    }

    /// Credits that one researcher holds.
    pub fn outstanding_of(&self, researcher: ResearcherIndex) -> usize {
        self.accounts
            .get(researcher.0)
            .map_or(0, |account| account.outstanding)
    }

    /// Credits ever granted to one researcher.
    pub fn granted_to(&self, researcher: ResearcherIndex) -> u64 {
        self.accounts
            .get(researcher.0)
            .map_or(0, |account| account.granted)
    }
}

#[allow(clippy::cast_precision_loss)]
fn to_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
