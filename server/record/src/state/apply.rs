//! The place of each record: a method a kind says what may come before it.

use std::collections::BTreeSet;

use fedseal_client_sdk::digest::Digest;
use fedseal_client_sdk::ids::{ClientId, Round};
use fedseal_client_sdk::keys::PublicKey;
use fedseal_client_sdk::record::Record;

use super::{
    AggregatedRef, EvaluatedRef, OutOfPlace, RotatedRef, RoundState, RunState, UpdateRef,
    VerdictRef,
};

type Placed = Result<(), OutOfPlace>;

fn bad(problem: impl Into<String>) -> Placed {
    Err(OutOfPlace(problem.into()))
}

impl RunState {
    /// Takes the next record in. `initial` is the first global adapter. After an error the state is
    /// of no use.
    ///
    /// # Errors
    /// The reason why the record may not stand here.
    pub fn apply(&mut self, record: &Record, initial: Digest) -> Placed {
        self.may_follow(record)?;
        let entry = self.entries;
        match record {
            Record::RunOpened {
                run_config, node, ..
            } => self.run_opened(*run_config, *node),
            Record::ModuleRegistered {
                module, envelope, ..
            } => self.module_registered(*module, *envelope),
            Record::ClientRegistered { client, shard, .. } => {
                self.client_registered(client, *shard)
            }
            Record::CanariesSealed { digest } => self.canaries_sealed(*digest),
            Record::RoundOpened {
                arm,
                round,
                clients,
                global,
                seed,
                learning_rate,
                controls,
            } => {
                let opened = RoundState {
                    clients: clients.clone(),
                    global: *global,
                    seed: *seed,
                    learning_rate: *learning_rate,
                    controls: *controls,
                    verdicts: Default::default(),
                    input: None,
                    aggregated: None,
                    tuned: None,
                };
                self.round_opened(arm, *round, opened, initial)
            }
            Record::Update {
                key,
                client,
                round,
                attestation,
                update,
            } => self.updated(UpdateRef {
                key: *key,
                client: client.clone(),
                round: *round,
                attestation: *attestation,
                update: *update,
                entry,
            }),
            Record::Verdict {
                arm,
                round,
                client,
                attestation,
                effect,
                weight,
                check,
                fact,
            } => {
                let verdict = VerdictRef {
                    attestation: *attestation,
                    effect: *effect,
                    weight: *weight,
                    check: check.clone(),
                    fact: fact.clone(),
                    entry,
                };
                self.judged(arm, *round, client, verdict)
            }
            Record::ServerInput {
                arm,
                round,
                adapter,
                data,
            } => self.server_input(arm, *round, (*data, *adapter)),
            Record::Aggregated {
                arm,
                round,
                rule,
                weights,
                global,
                device,
            } => {
                let aggregated = AggregatedRef {
                    rule: rule.clone(),
                    weights: weights.clone(),
                    global: *global,
                    device: device.clone(),
                };
                self.aggregated(arm, *round, aggregated)
            }
            Record::Evaluated {
                key,
                arm,
                round,
                adapter,
                result,
            } => {
                let evaluated = EvaluatedRef {
                    key: *key,
                    adapter: *adapter,
                    result: *result,
                };
                self.evaluated(arm, *round, evaluated)
            }
            Record::Defended { arm, adapter, data } => self.defended(arm, *adapter, *data),
            Record::Tuned {
                arm,
                round,
                adapter,
                data,
            } => self.tuned(arm, *round, (*adapter, *data)),
            Record::KeyRevoked { key, .. } => self.key_revoked(*key, entry),
            Record::NodeRotated {
                old,
                new,
                statement,
            } => self.node_rotated(RotatedRef {
                old: *old,
                new: *new,
                statement: *statement,
            }),
            Record::CanariesOpened { digest } => self.canaries_opened(*digest),
            Record::Report { digest } => self.reported(*digest),
            Record::Closed => self.close(),
        }?;
        self.entries += 1;
        Ok(())
    }

    /// Order that holds for records of every kind: the first, the last, and the last but one.
    fn may_follow(&self, record: &Record) -> Placed {
        if self.closed {
            return bad("follows `closed`");
        }
        if (self.entries == 0) != matches!(record, Record::RunOpened { .. }) {
            return bad("`run-opened` is the first entry and only the first");
        }
        if self.report.is_some() && !matches!(record, Record::Closed) {
            return bad("follows the report, after which only `closed` may come");
        }
        Ok(())
    }

    fn run_opened(&mut self, plan: Digest, node: PublicKey) -> Placed {
        self.plan = Some(plan);
        self.node = Some(node);
        Ok(())
    }

    fn module_registered(&mut self, module: Digest, envelope: Digest) -> Placed {
        match self.modules.insert(module, envelope) {
            None => Ok(()),
            Some(_) => bad(format!("module {module} is registered twice")),
        }
    }

    fn client_registered(&mut self, client: &ClientId, shard: Digest) -> Placed {
        match self.clients.insert((client.clone(), shard)) {
            true => Ok(()),
            false => bad(format!("{client} with shard {shard} is registered twice")),
        }
    }

    fn canaries_sealed(&mut self, digest: Digest) -> Placed {
        match self.canaries.replace(digest) {
            None => Ok(()),
            Some(_) => bad("canaries are sealed twice"),
        }
    }

    fn round_opened(
        &mut self,
        arm: &str,
        round: Round,
        opened: RoundState,
        initial: Digest,
    ) -> Placed {
        if self.canaries.is_none() {
            return bad("a round opens before the canaries are sealed");
        }
        let expected = self.global(arm, initial);
        let rounds = self.arms.entry(arm.to_owned()).or_default();
        if rounds.len() as u64 != u64::from(round.0) {
            return bad(format!(
                "round {round} of arm {arm} opens, {} is next",
                rounds.len()
            ));
        }
        if rounds.last().is_some_and(|last| last.aggregated.is_none()) {
            return bad(format!(
                "round {round} of arm {arm} opens before the last one ended"
            ));
        }
        let global = opened.global;
        if global != expected {
            return bad(format!(
                "round {round} of arm {arm} starts from {global}, the global adapter is {expected}"
            ));
        }
        let different: BTreeSet<_> = opened.clients.iter().collect();
        if different.len() != opened.clients.len() {
            return bad(format!("round {round} of arm {arm} samples a client twice"));
        }
        rounds.push(opened);
        Ok(())
    }

    fn updated(&mut self, update: UpdateRef) -> Placed {
        let (key, attestation) = (update.key, update.attestation);
        if self.updates.insert(key, update).is_some() {
            return bad(format!("update {key} is executed twice"));
        }
        match self.attestations.insert(attestation, key) {
            None => Ok(()),
            Some(_) => bad(format!("attestation {attestation} is used twice")),
        }
    }

    fn judged(
        &mut self,
        arm: &str,
        round: Round,
        client: &ClientId,
        verdict: VerdictRef,
    ) -> Placed {
        let attestation = verdict.attestation;
        let Some(update) = self.update(&attestation) else {
            return bad(format!(
                "a verdict about update {attestation}, which is not logged"
            ));
        };
        if update.client != *client || update.round != round {
            return bad(format!(
                "a verdict about {client} in round {round}; update {attestation} is {} in round {}",
                update.client, update.round
            ));
        }
        let counts = verdict.weight > 0.0 && verdict.weight <= 1.0;
        if counts != verdict.effect.counts() {
            return bad(format!(
                "effect {} with weight {}",
                verdict.effect, verdict.weight
            ));
        }
        let Some(state) = self.open_round(arm, round) else {
            return bad(format!(
                "a verdict in round {round} of arm {arm}, which is not open"
            ));
        };
        // In order, as runs of today have them.
        let sampled = state.clients.binary_search(client).is_ok();
        if !sampled && !state.clients.contains(client) {
            return bad(format!(
                "{client} is not sampled in round {round} of arm {arm}"
            ));
        }
        match state.verdicts.insert(client.clone(), verdict) {
            None => Ok(()),
            Some(_) => bad(format!(
                "two verdicts about {client} in round {round} of arm {arm}"
            )),
        }
    }

    fn aggregated(&mut self, arm: &str, round: Round, aggregated: AggregatedRef) -> Placed {
        let Some(state) = self.open_round(arm, round) else {
            return bad(format!(
                "round {round} of arm {arm} is aggregated, which is not open"
            ));
        };
        if state.verdicts.len() != state.clients.len() {
            return bad(format!(
                "round {round} of arm {arm} is aggregated with {} verdicts for {} clients",
                state.verdicts.len(),
                state.clients.len()
            ));
        }
        let named = aggregated.weights.iter().map(|(client, _)| client);
        if !named.eq(&state.clients) {
            return bad(format!(
                "round {round} of arm {arm}: weights are not of the sampled clients"
            ));
        }
        state.aggregated = Some(aggregated);
        Ok(())
    }

    fn server_input(&mut self, arm: &str, round: Round, input: (Digest, Option<Digest>)) -> Placed {
        let Some(state) = self.open_round(arm, round) else {
            return bad(format!(
                "a server's input to round {round} of arm {arm}, which is not open"
            ));
        };
        match state.input.replace(input) {
            None => Ok(()),
            Some(_) => bad(format!("two server's inputs to round {round} of arm {arm}")),
        }
    }

    /// The round of an arm, while verdicts and its aggregation may come.
    fn open_round(&mut self, arm: &str, round: Round) -> Option<&mut RoundState> {
        let state = self.arms.get_mut(arm)?.get_mut(round.0 as usize)?;
        state.aggregated.is_none().then_some(state)
    }

    fn evaluated(&mut self, arm: &str, round: Round, evaluated: EvaluatedRef) -> Placed {
        let EvaluatedRef { key, result, .. } = evaluated;
        if let Some(earlier) = self.evaluations.insert(key, result)
            && earlier != result
        {
            return bad(format!("evaluation {key} has two results"));
        }
        match self.evaluated.insert((arm.to_owned(), round.0), evaluated) {
            None => Ok(()),
            Some(_) => bad(format!("arm {arm} is evaluated twice after round {round}")),
        }
    }

    fn defended(&mut self, arm: &str, adapter: Digest, data: Digest) -> Placed {
        match self.defended.insert(arm.to_owned(), (adapter, data)) {
            None => Ok(()),
            Some(_) => bad(format!("arm {arm} is defended twice")),
        }
    }

    fn tuned(&mut self, arm: &str, round: Option<Round>, tuned: (Digest, Digest)) -> Placed {
        let rounds = self.arms.get_mut(arm);
        let Some(round) = round else {
            if self.canaries.is_none() || rounds.is_some() {
                return bad(format!(
                    "arm {arm} is tuned before its first round, out of its place"
                ));
            }
            return match self.begun.insert(arm.to_owned(), tuned) {
                None => Ok(()),
                Some(_) => bad(format!("arm {arm} is tuned twice before its first round")),
            };
        };
        let number = rounds.as_ref().map_or(0, |rounds| rounds.len() as u64);
        let last = rounds.and_then(|rounds| rounds.last_mut());
        match last {
            Some(state)
                if u64::from(round.0) + 1 == number
                    && state.aggregated.is_some()
                    && state.tuned.is_none() =>
            {
                state.tuned = Some(tuned);
                Ok(())
            }
            _ => bad(format!(
                "arm {arm} is tuned after round {round}, which is not its last result, or twice"
            )),
        }
    }

    fn key_revoked(&mut self, key: PublicKey, entry: u64) -> Placed {
        match self.revoked.insert(key, entry) {
            None => Ok(()),
            Some(_) => bad(format!("key {key} is revoked twice")),
        }
    }

    fn node_rotated(&mut self, rotation: RotatedRef) -> Placed {
        let RotatedRef { old, new, .. } = rotation;
        let joins = self
            .node_ends()
            .is_some_and(|(oldest, newest)| new == oldest || old == newest);
        let again = self.rotations.iter().any(|r| (r.old, r.new) == (old, new));
        if !joins || again {
            return bad(format!(
                "the rotation of {old} to {new} is not one of the node's key"
            ));
        }
        self.rotations.push(rotation);
        Ok(())
    }

    fn canaries_opened(&mut self, digest: Digest) -> Placed {
        if self.canaries != Some(digest) || self.canaries_open {
            return bad(format!(
                "canaries {digest} are opened, which are not the sealed ones"
            ));
        }
        self.canaries_open = true;
        Ok(())
    }

    fn reported(&mut self, digest: Digest) -> Placed {
        if !self.canaries_open {
            return bad("the report comes before the canaries are opened");
        }
        self.report = Some(digest);
        Ok(())
    }

    fn close(&mut self) -> Placed {
        if self.report.is_none() {
            return bad("closed without a report");
        }
        self.closed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
