//! People, groups, who countersigns, rooms and secrets.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::model::catalog::{Ask, Countersigners, Person, Room, SecretSource};
use crate::model::chat::{Account, RoomAddress, UserGroup};
use crate::model::group::{Blind, Group, Kept, Sight};
use crate::model::id::{GroupName, PersonId, RoomName, SecretName};

use super::super::diagnostic::Problem;
use super::super::raw;
use super::super::words;
use super::super::yaml::{At, Place};
use super::{Checker, Input, Kind, is_variable};

impl Checker {
    pub(super) fn people(&mut self, input: &Input, raw: &raw::People) {
        if let Some(groups) = &raw.groups {
            self.filled_map(input, groups.place, "groups", groups.value.0.len());
            for (name, _) in &groups.value.0 {
                self.declare(input, Kind::Group, name);
            }
        }
        if let Some(rotas) = &raw.rotas {
            self.filled_map(input, rotas.place, "rotas", rotas.value.0.len());
            for (name, _) in &rotas.value.0 {
                self.declare(input, Kind::Rota, name);
            }
        }
        let Some(people) = &raw.people else { return };
        self.filled_map(input, people.place, "people", people.value.0.len());
        for (name, raw) in &people.value.0 {
            self.declare(input, Kind::Person, name);
            let hint = "list where they speak: `accounts: [\"slack:T1:U2\"]`";
            let mut accounts: Vec<Account> = Vec::new();
            for written in self.filled(input, name.place, "accounts", &raw.accounts, hint) {
                let Some(account) = self.address::<Account>(input, written) else { continue };
                let owner = self.catalog.person_of(&account).map(|person| person.name.clone());
                if accounts.contains(&account) {
                    let message = format!("{} stands in this list twice", words::quoted(&written.value));
                    self.problem(input, Problem::new(written.place, message).hint("keep one of the two"));
                } else if let Some(owner) = owner.filter(|owner| owner.as_str() != name.value) {
                    let message = format!("this account is {owner}'s already");
                    let hint = "an account speaks for one person only: rights belong to people";
                    let problem = Problem::new(written.place, message).hint(hint);
                    let problem = match self.declared(Kind::Person, owner.as_str()) {
                        Some((file, place)) => problem.elsewhere(file, place, OWNER_AT),
                        None => problem,
                    };
                    self.problem(input, problem);
                } else {
                    accounts.push(account);
                }
            }
            let ask = self.ask(input, &raw.ask, &accounts);
            let person = PersonId::new(&name.value);
            self.catalog.people.insert(person.clone(), Person { name: person, accounts, ask });
        }
    }

    /// Where somebody wants to be asked.
    fn ask(&mut self, input: &Input, raw: &raw::Word, accounts: &[Account]) -> Ask {
        let Some(written) = raw else { return Ask::default() };
        let ask = match written.value.as_str() {
            "thread" => Ask::Thread,
            "direct" => Ask::Direct,
            "both" => Ask::Both,
            other => {
                let problem =
                    Problem::new(written.place, format!("{} is no way to ask somebody", words::quoted(other)))
                        .label("expected `thread` (mentioned in the room), `direct` (by direct message) or `both`")
                        .nearest(other, ["thread", "direct", "both"]);
                self.problem(input, problem);
                Ask::default()
            }
        };
        let trial = |account: &Account| account.platform == "local";
        if ask != Ask::Thread && !accounts.is_empty() && accounts.iter().all(trial) {
            let message = "the trial's room has no direct messages, and this person speaks nowhere else";
            self.problem(input, Problem::new(written.place, message).hint("leave `ask` out"));
        }
        ask
    }

    /// To whom people report, once all of all files are known; circles are told once all of it is read.
    fn reports(&mut self, input: &Input, raw: &raw::People) {
        for (name, person) in raw.people.iter().flat_map(|people| &people.value.0) {
            let Some(above) = &person.reports_to else { continue };
            self.known(input, Kind::Person, above);
            let (person, above_name) = (PersonId::new(&name.value), PersonId::new(&above.value));
            // Up from there one must not come back.
            let mut up = Some(above_name.clone());
            let mut seen = BTreeSet::new();
            while let Some(one) = up.filter(|one| seen.insert(one.clone())) {
                up = self.catalog.reports_to.get(&one).cloned();
            }
            if seen.contains(&person) {
                let message = match above_name == person {
                    true => format!("{person} reports to themselves"),
                    false => format!("by this {person} reports to themselves, by way of others"),
                };
                let hint = "somebody at the top reports to nobody: leave the key out there";
                self.problem(input, Problem::new(above.place, message).hint(hint));
                continue;
            }
            self.catalog.reports_to.insert(person, above_name);
        }
    }

    /// Members, once all people of all files are known.
    pub(super) fn groups(&mut self, input: &Input, raw: &raw::People) {
        self.reports(input, raw);
        let Some(groups) = &raw.groups else { return };
        for (name, written) in &groups.value.0 {
            let group = match &written.value {
                raw::Members::Listed(people) => {
                    Some(Group { members: self.listed(input, name, written.place, people), kept: Kept::Catalog })
                }
                raw::Members::Of(of) => self.kept_elsewhere(input, name, of),
            };
            // A name that is declared twice has been told; the first stands.
            if let Some(group) = group {
                self.catalog.groups.entry(GroupName::new(&name.value)).or_insert(group);
            }
        }
    }

    /// Who countersigns, once everybody is known.
    pub(super) fn access(&mut self, input: &Input, raw: &raw::People) {
        let Some(At { value: raw, place }) = &raw.access else { return };
        if let Some((file, before)) = self.access.replace((input.file, *place)) {
            let problem = Problem::new(*place, "there is another `access`").hint("keep one of the two");
            self.problem(input, problem.elsewhere(file, before, "the other is at"));
            return;
        }
        let whose = Place { start: place.start, end: place.start };
        let hint = "say who agrees to a change of who may do what: `countersigned_by: [group:managers]`";
        self.required(input, whose, "countersigned_by", &raw.countersigned_by, hint);
        let by = self.subjects(input, "countersigned_by", &raw.countersigned_by);
        let mut changed_by = BTreeSet::new();
        if let Some(written) = &raw.changed_by {
            if written.value.is_empty() {
                let problem = Problem::new(written.place, "`changed_by` is empty");
                self.problem(input, problem.hint("name who wrote the change, or leave the key out"));
            }
            for person in &written.value {
                self.known(input, Kind::Person, person);
                changed_by.insert(PersonId::new(&person.value));
            }
        }
        let hint = "say which room is told: `room: ops`";
        let Some(room) = self.required(input, whose, "room", &raw.room, hint) else { return };
        self.known(input, Kind::Room, room);
        self.catalog.access = Some(Countersigners { by, room: RoomName::new(&room.value), changed_by });
    }

    fn listed(&mut self, input: &Input, name: &At<String>, place: Place, people: &[At<String>]) -> BTreeSet<PersonId> {
        if people.is_empty() {
            let problem = Problem::new(place, format!("group {} has no members", words::quoted(&name.value)));
            self.problem(input, problem.hint("name its people, or leave the group out"));
        }
        let mut members = BTreeSet::new();
        for member in people {
            self.known(input, Kind::Person, member);
            if !members.insert(PersonId::new(&member.value)) {
                let message = format!("{} stands in this group twice", words::quoted(&member.value));
                self.problem(input, Problem::new(member.place, message).hint("keep one of the two"));
            }
        }
        members
    }

    /// A group that a platform keeps: whoever is in it, when that is asked. Until then nobody.
    fn kept_elsewhere(&mut self, input: &Input, name: &At<String>, of: &raw::MembersOf) -> Option<Group> {
        let hint = "say which user group: `members_of: \"slack:T1:S2\"`";
        let written = self.required(input, name.place, "members_of", &of.members_of, hint)?;
        let user_group = self.address::<UserGroup>(input, written)?;
        if user_group.platform != "slack" {
            let message = format!("{} has no user groups that can be asked", words::quoted(&user_group.platform));
            let hint = "list the people here, or name a user group of Slack's: `slack:T1:S2`";
            self.problem(input, Problem::new(written.place, message).hint(hint));
            return None;
        }
        let of_there = |account: &Account| {
            (&account.platform, &account.workspace) == (&user_group.platform, &user_group.workspace)
        };
        let somebody = self.catalog.people.values().any(|person| person.accounts.iter().any(of_there));
        if !somebody && !self.broken.contains(&Kind::Person) {
            let message = format!(
                "nobody in this catalog has an account in {}:{}, so nobody could ever be in this group",
                user_group.platform, user_group.workspace
            );
            self.problem(input, Problem::new(written.place, message).hint("give people their accounts there"));
        }
        let sight = Sight::Blind(Blind::NotAsked);
        Some(Group { members: BTreeSet::new(), kept: Kept::Platform { user_group, sight } })
    }

    pub(super) fn rooms(&mut self, input: &Input, raw: &raw::Rooms) {
        let Some(rooms) = &raw.rooms else { return };
        self.filled_map(input, rooms.place, "rooms", rooms.value.0.len());
        for (name, raw) in &rooms.value.0 {
            self.declare(input, Kind::Room, name);
            let hint = "say where it is: `address: \"slack:T1:C2\"`";
            let Some(written) = self.required(input, name.place, "address", &raw.address, hint) else { continue };
            let Some(address) = self.address::<RoomAddress>(input, written) else { continue };
            if let Some(other) = self.catalog.room_at(&address).map(|room| room.name.clone()) {
                let problem = Problem::new(written.place, format!("room `{other}` has this address already"))
                    .hint("a place has one name here: use that one");
                let problem = match self.declared(Kind::Room, other.as_str()) {
                    Some((file, place)) => problem.elsewhere(file, place, "the other is at"),
                    None => problem,
                };
                self.problem(input, problem);
            }
            let room = RoomName::new(&name.value);
            self.catalog.rooms.insert(room.clone(), Room { name: room, address });
        }
    }

    pub(super) fn secrets(&mut self, input: &Input, raw: &raw::Secrets) {
        let Some(secrets) = &raw.secrets else { return };
        self.filled_map(input, secrets.place, "secrets", secrets.value.0.len());
        for (name, raw) in &secrets.value.0 {
            self.declare(input, Kind::Secret, name);
            let source = match (&raw.env, &raw.file) {
                (Some(variable), None) => {
                    self.variable(input, variable);
                    SecretSource::Env(variable.value.clone())
                }
                (None, Some(file)) => {
                    if !file.value.starts_with('/') {
                        let message = format!("{} is not an absolute path", words::quoted(&file.value));
                        let hint = "a secret lies outside the catalog: give its path from `/` on";
                        self.problem(input, Problem::new(file.place, message).hint(hint));
                    }
                    SecretSource::File(PathBuf::from(&file.value))
                }
                (given, _) => {
                    let message = match given {
                        Some(_) => "this secret comes from two places",
                        None => "this secret comes from nowhere",
                    };
                    let problem = Problem::new(name.place, message).label("expected exactly one of `env` and `file`");
                    self.problem(input, problem);
                    continue;
                }
            };
            let secret = SecretName::new(&name.value);
            self.catalog.secret_sources.insert(secret.clone(), input.source.clone());
            self.catalog.secrets.insert(secret, source);
        }
    }

    /// Tells a name that no variable can have, and those that hold the bot's own secrets.
    pub(super) fn variable(&mut self, input: &Input, name: &At<String>) {
        if !is_variable(&name.value) {
            let message = format!("{} cannot be the name of an environment variable", words::quoted(&name.value));
            self.problem(input, Problem::new(name.place, message).label("letters, digits and underscores"));
        } else if is_the_bots_own(&name.value) {
            let message = format!("{} belongs to the bot and goes to no step", words::quoted(&name.value));
            self.problem(input, Problem::new(name.place, message).hint("give the step a variable of its own"));
        }
    }

    fn address<T: std::str::FromStr>(&mut self, input: &Input, written: &At<String>) -> Option<T> {
        let address = written.value.parse().ok();
        if address.is_none() {
            let message = format!("{} is not an address", words::quoted(&written.value));
            let problem = Problem::new(written.place, message).label("expected platform:workspace:id");
            self.problem(input, problem.hint("the platform's stable id, such as `slack:T024BE7LD:U2147483697`"));
        }
        address
    }

    fn filled_map(&mut self, input: &Input, place: Place, key: &str, length: usize) {
        if length == 0 {
            self.problem(input, Problem::new(place, format!("`{key}` is empty")).hint("leave the key out"));
        }
    }
}

const OWNER_AT: &str = "that person is at";

/// Variables through which a step could speak as the bot or reach its database.
fn is_the_bots_own(name: &str) -> bool {
    name == "DATABASE_URL" || (name.starts_with("COUNTERSIGN_") && name != "COUNTERSIGN_DEMO")
}
