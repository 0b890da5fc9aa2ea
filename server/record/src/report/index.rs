//! Index of a report.json: its digest, what a list and a first page show of it, and the place of each round in
//! the file, so that one round is read without the others. The file is read once, in pieces; the clients of
//! one round at a time are in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read};

use fedseal_rules::admission::Effect;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::conclusion::conclude;
use super::conclusion::figures::{Adding, Client, Column, Figures, Round};
use super::pieces::{Pieces, Problem};
use super::{Conclusion, Rate};
use fedseal_client_sdk::digest::Digest;

/// The most columns of a report.
const MOST_ARMS: usize = 256;
/// The most rounds of all columns.
const MOST_ROUNDS: usize = 1 << 17;
/// The largest round, bytes.
const MOST_ROUND: usize = 32 << 20;
/// The largest other field, bytes.
const MOST_FIELD: usize = 4 << 20;
/// Bytes of all other fields of an object.
const MOST_FIELDS: usize = 16 << 20;
/// Cells of all grids (clients by rounds); arms for which there is no room have none.
const MOST_CELLS: usize = 8 << 20;
/// Different updates that are counted.
const MOST_UPDATES: usize = 1 << 22;

/// A report.json that was read.
#[derive(Debug)]
pub struct Index {
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many they are.
    pub length: u64,
    /// Its content; else the reason why it is no report.
    pub content: Result<Content, String>,
}

/// Content of a report.
#[derive(Debug)]
pub struct Content {
    /// The place of its opening brace.
    pub start: u64,
    /// The report as JSON without the clients of its rounds and without the texts side by side. Other fields
    /// are as they lie in the file; rounds are [`RoundIndex`], and each arm has further `weightless`: updates
    /// that admission let pass and the aggregation rule gave no weight, by kind of client.
    pub body: String,
    /// Its arms, in their order.
    pub arms: Vec<ArmParts>,
    /// Its figures in sentences; none where they are no report's.
    pub conclusion: Option<Conclusion>,
    /// Different updates in all arms.
    pub updates: usize,
}

impl Content {
    /// Bytes that it takes in memory, about.
    pub fn kept(&self) -> usize {
        let arm = |arm: &ArmParts| arm.grid.get().len() + arm.rounds.len() * size_of::<Place>();
        self.body.len() + self.arms.iter().map(arm).sum::<usize>()
    }
}

/// Parts of an arm.
#[derive(Debug)]
pub struct ArmParts {
    /// Its id.
    pub id: String,
    /// Its rounds, in their order.
    pub rounds: Vec<Place>,
    /// [`Grid`] as JSON.
    pub grid: Box<RawValue>,
}

/// The place of a round in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its first byte.
    pub start: u64,
    /// The byte behind its last one.
    pub end: u64,
}

/// A round without its clients.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RoundIndex {
    /// Its number, from 0.
    pub round: u32,
    /// Rule on the global adapter after the round, where measured.
    pub safety: Option<Rate>,
    /// Helpfulness of the same.
    pub helpfulness: Option<Rate>,
    /// The run's other measures of the same, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub measures: BTreeMap<String, Rate>,
}

/// Clients of an arm by its rounds: what became of each update.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Grid {
    /// The clients, in the order in which they were first drawn.
    pub clients: Vec<GridClient>,
    /// Numbers of the rounds.
    pub rounds: Vec<u32>,
    /// Outcomes of each round, a letter for each client; a text that is shorter than the list of clients goes
    /// on with `.`: not drawn. `a` accepted, `l` let pass by admission and given no weight by the aggregation
    /// rule, `d` down-weighted, `q` quarantined, `r` rejected, `f` failed, `p` no verdict yet.
    pub outcomes: Vec<String>,
    /// Whether it is too large to be shown; then it is empty.
    pub left_out: bool,
}

/// A client of a grid.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GridClient {
    /// Its name.
    pub client: String,
    /// `benign`, or the kind of attack in this arm.
    pub kind: String,
}

impl Index {
    /// Reads a report.json to its end.
    ///
    /// # Errors
    /// Any error of the reader. What is no report is none.
    pub fn read(from: impl Read) -> io::Result<Index> {
        let mut pieces = Pieces::new(from);
        let content = match content(&mut pieces) {
            Ok(content) => Ok(content),
            Err(Problem::Content(problem)) => Err(problem),
            Err(Problem::Io(error)) => return Err(error),
        };
        let (digest, length) = pieces.finish()?;
        Ok(Index {
            digest,
            length,
            content,
        })
    }
}

fn content<R: Read>(pieces: &mut Pieces<R>) -> Result<Content, Problem> {
    pieces.expect(b'{')?;
    let start = pieces.place() - 1;
    let mut fields = Fields::default();
    let mut arms = None;
    let mut first = true;
    while pieces.another(&mut first, b'}')? {
        let name = pieces.name()?;
        match name.as_str() {
            "served" => {
                return Err(Problem::of(
                    "it has a field `served`, which is the server's",
                ));
            }
            "arms" if arms.is_some() => return Err(twice("arms")),
            "arms" => arms = Some(Arms::read(pieces)?),
            "side_by_side" => pieces.skip()?,
            _ => fields.add(name, pieces)?,
        }
    }
    pieces.end()?;
    let arms = arms.ok_or_else(|| Problem::of("it has no field `arms`"))?;
    let figures = serde_json::from_str::<Figures>(&object(&fields.text, r#""arms":[]"#));
    let columns = arms.columns.into_iter().collect::<Option<Vec<Column>>>();
    let conclusion = figures.ok().zip(columns).map(|(mut figures, columns)| {
        figures.arms = columns;
        conclude(&figures)
    });
    Ok(Content {
        start,
        body: object(&fields.text, &format!(r#""arms":[{}]"#, arms.text)),
        arms: arms.parts,
        conclusion,
        updates: arms.updates.len(),
    })
}

fn twice(name: &str) -> Problem {
    Problem::of(format!("it has the field `{name}` twice"))
}

/// An object of these members and of some more.
fn object(members: &str, more: &str) -> String {
    let comma = if members.is_empty() || more.is_empty() {
        ""
    } else {
        ","
    };
    format!("{{{members}{comma}{more}}}")
}

/// Fields of an object that are kept as they are.
#[derive(Default)]
struct Fields {
    /// Names and values, with commas between them.
    text: String,
    names: HashSet<String>,
}

impl Fields {
    fn add<R: Read>(&mut self, name: String, pieces: &mut Pieces<R>) -> Result<(), Problem> {
        let (_, text) = pieces.value(&format!("field `{name}`"), MOST_FIELD)?;
        let value: &RawValue = serde_json::from_slice(text)
            .map_err(|error| Problem::of(format!("field `{name}`: {error}")))?;
        if self.text.len() + text.len() > MOST_FIELDS {
            return Err(Problem::of(format!(
                "its fields are larger than {MOST_FIELDS} bytes in all"
            )));
        }
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text
            .push_str(&serde_json::to_string(&name).map_err(Problem::of)?);
        self.text.push(':');
        self.text.push_str(value.get());
        match self.names.replace(name) {
            Some(name) => Err(twice(&name)),
            None => Ok(()),
        }
    }
}

/// Arms as far as they were read.
#[derive(Default)]
struct Arms {
    /// JSON of the index, with commas between them.
    text: String,
    parts: Vec<ArmParts>,
    /// Columns of the figures; none for an arm that has none.
    columns: Vec<Option<Column>>,
    /// The first 8 bytes of each update's digest, which tell a few million apart.
    updates: HashSet<u64>,
    rounds: usize,
    cells: usize,
}

/// Part of an arm that has to be there.
#[derive(Deserialize)]
struct Head {
    id: String,
}

impl Arms {
    fn read<R: Read>(pieces: &mut Pieces<R>) -> Result<Arms, Problem> {
        let mut arms = Arms::default();
        pieces.expect(b'[')?;
        let mut first = true;
        while pieces.another(&mut first, b']')? {
            if arms.parts.len() == MOST_ARMS {
                return Err(Problem::of(format!("more than {MOST_ARMS} arms")));
            }
            arms.arm(pieces)?;
        }
        Ok(arms)
    }

    fn arm<R: Read>(&mut self, pieces: &mut Pieces<R>) -> Result<(), Problem> {
        pieces.expect(b'{')?;
        let mut fields = Fields::default();
        let mut course = None;
        let mut first = true;
        while pieces.another(&mut first, b'}')? {
            let name = pieces.name()?;
            match name.as_str() {
                "rounds" if course.is_some() => return Err(twice("rounds")),
                "rounds" => course = Some(self.course(pieces)?),
                "weightless" => {
                    return Err(Problem::of(
                        "an arm has a field `weightless`, which is the index's",
                    ));
                }
                _ => fields.add(name, pieces)?,
            }
        }
        let own = object(&fields.text, "");
        let arm = |problem: &dyn std::fmt::Display| Problem::of(format!("an arm: {problem}"));
        let Head { id } = serde_json::from_str(&own).map_err(|error| arm(&error))?;
        let course = course.ok_or_else(|| arm(&"it has no field `rounds`"))?;
        let weightless = serde_json::to_string(&course.weightless).map_err(Problem::of)?;
        let rounds = format!(r#""rounds":[{}],"weightless":{weightless}"#, course.text);
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(&object(&fields.text, &rounds));
        let column = serde_json::from_str::<Column>(&own).ok();
        self.columns.push(column.map(|mut column| {
            column.rounds = course.figures.rounds();
            column
        }));
        self.parts.push(ArmParts {
            id,
            rounds: course.places,
            grid: serde_json::value::to_raw_value(&course.grid).map_err(Problem::of)?,
        });
        Ok(())
    }

    fn course<R: Read>(&mut self, pieces: &mut Pieces<R>) -> Result<Course, Problem> {
        let mut course = Course::default();
        pieces.expect(b'[')?;
        let mut first = true;
        while pieces.another(&mut first, b']')? {
            self.rounds += 1;
            if self.rounds > MOST_ROUNDS {
                return Err(Problem::of(format!("more than {MOST_ROUNDS} rounds")));
            }
            let (start, text) = pieces.value("a round", MOST_ROUND)?;
            let round: Round = serde_json::from_slice(text)
                .map_err(|error| Problem::of(format!("the round at byte {start}: {error}")))?;
            let end = start + text.len() as u64;
            course.places.push(Place { start, end });
            let updates = round.clients.iter().filter_map(|client| client.update);
            for update in updates {
                if self.updates.len() < MOST_UPDATES {
                    let [a, b, c, d, e, f, g, h, ..] = update.0;
                    self.updates
                        .insert(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
                }
            }
            course.add(round, &mut self.cells)?;
        }
        Ok(course)
    }
}

/// Rounds of an arm as far as they were read.
#[derive(Default)]
struct Course {
    /// [`RoundIndex`] of each as JSON, with commas between them.
    text: String,
    places: Vec<Place>,
    figures: Adding,
    grid: Grid,
    /// Columns of the grid by client.
    columns: HashMap<String, usize>,
    weightless: BTreeMap<String, u64>,
}

impl Course {
    fn add(&mut self, round: Round, cells: &mut usize) -> Result<(), Problem> {
        self.figures.add(&round);
        let mut row: Vec<u8> = Vec::new();
        for client in &round.clients {
            let letter = outcome(client);
            if letter == b'l' {
                *self.weightless.entry(client.kind.clone()).or_default() += 1;
            }
            if !self.grid.left_out {
                let column = self.column(client);
                if column >= row.len() {
                    row.resize(column + 1, b'.');
                }
                row[column] = letter;
            }
        }
        *cells += row.len();
        if *cells > MOST_CELLS {
            *cells = MOST_CELLS;
            self.grid = Grid {
                left_out: true,
                ..Grid::default()
            };
            self.columns = HashMap::new();
        }
        if !self.grid.left_out {
            self.grid.rounds.push(round.round);
            self.grid
                .outcomes
                .push(String::from_utf8_lossy(&row).into_owned());
        }
        let shown = RoundIndex {
            round: round.round,
            safety: round.safety,
            helpfulness: round.helpfulness,
            measures: round.measures,
        };
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text
            .push_str(&serde_json::to_string(&shown).map_err(Problem::of)?);
        Ok(())
    }

    /// A client's column in the grid.
    fn column(&mut self, client: &Client) -> usize {
        if let Some(column) = self.columns.get(&client.client) {
            return *column;
        }
        let column = self.grid.clients.len();
        self.columns.insert(client.client.clone(), column);
        self.grid.clients.push(GridClient {
            client: client.client.clone(),
            kind: client.kind.clone(),
        });
        column
    }
}

/// The letter of [`Grid::outcomes`].
fn outcome(client: &Client) -> u8 {
    let Some(said) = &client.verdict else {
        return b'p';
    };
    match said.effect {
        _ if said.is_failure() => b'f',
        Effect::Accept | Effect::DownWeight if client.weight == Some(0.0) => b'l',
        Effect::Accept => b'a',
        Effect::DownWeight => b'd',
        Effect::Quarantine => b'q',
        Effect::Reject => b'r',
    }
}

#[cfg(test)]
mod tests;
