//! PartiQL: `INSERT INTO` with a value, and `UPDATE` with `SET`, `REMOVE` and `WHERE`. All values are parameters.

use std::iter::Peekable;
use std::slice::Iter;

use serde_json::Value;

use super::failure::Failure;
use super::table::Item;

/// The most characters of a statement.
const STATEMENT_CHARS: usize = 8192;

/// A statement with its parameters in their places.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) table: String,
    pub(super) write: StatementWrite,
}

#[derive(Debug)]
pub(super) enum StatementWrite {
    Insert(Item),
    Update {
        set: Item,
        remove: Vec<String>,
        /// What the attributes of the item have to be, its key among them.
        filter: Item,
    },
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// A keyword or a sign.
    Word(String),
    /// In single quotes.
    Text(String),
    /// In double quotes.
    Name(String),
}

pub(super) fn parse(text: &str, parameters: &[Value]) -> Result<Statement, Failure> {
    if text.len() > STATEMENT_CHARS {
        return Err(Failure::invalid(format!("a statement has at most {STATEMENT_CHARS} characters")));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: tokens.iter().peekable(), parameters: parameters.iter() };
    let statement = if parser.next_if("INSERT") { parser.insert()? } else { parser.update()? };
    match (parser.tokens.next(), parser.parameters.next()) {
        (None, None) => Ok(statement),
        (Some(token), _) => Err(unexpected(Some(token))),
        (None, Some(_)) => Err(Failure::invalid("Number of parameters in request and statement don't match.")),
    }
}

fn unexpected(token: Option<&Token>) -> Failure {
    Failure::invalid(format!("Statement wasn't well formed, can't be processed: Unexpected token {token:?}"))
}

fn tokens(text: &str) -> Result<Vec<Token>, Failure> {
    let (mut tokens, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        let end;
        match first {
            '\'' | '"' => {
                let length = rest[1..].find(first).ok_or_else(|| unexpected(None))?;
                let quoted = rest[1..=length].to_owned();
                tokens.push(if first == '"' { Token::Name(quoted) } else { Token::Text(quoted) });
                end = length + 2;
            }
            _ if first.is_ascii_alphabetic() => {
                end = rest.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..end].to_owned()));
            }
            _ => {
                end = first.len_utf8();
                tokens.push(Token::Word(first.to_string()));
            }
        }
        rest = rest[end..].trim_start();
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: Peekable<Iter<'a, Token>>,
    parameters: Iter<'a, Value>,
}

impl Parser<'_> {
    fn next_if(&mut self, word: &str) -> bool {
        self.tokens.next_if(|token| matches!(token, Token::Word(found) if found == word)).is_some()
    }

    fn expect(&mut self, word: &str) -> Result<(), Failure> {
        if self.next_if(word) { Ok(()) } else { Err(unexpected(self.tokens.next())) }
    }

    fn name(&mut self) -> Result<String, Failure> {
        match self.tokens.next() {
            Some(Token::Name(name)) => Ok(name.clone()),
            other => Err(unexpected(other)),
        }
    }

    fn parameter(&mut self) -> Result<Value, Failure> {
        self.expect("?")?;
        let missing = || Failure::invalid("Number of parameters in request and statement don't match.");
        self.parameters.next().cloned().ok_or_else(missing)
    }

    /// `name = ?`.
    fn equation(&mut self) -> Result<(String, Value), Failure> {
        let name = self.name()?;
        self.expect("=")?;
        Ok((name, self.parameter()?))
    }

    fn insert(&mut self) -> Result<Statement, Failure> {
        self.expect("INTO")?;
        let table = self.name()?;
        self.expect("VALUE")?;
        self.expect("{")?;
        let mut item = Item::new();
        loop {
            let name = match self.tokens.next() {
                Some(Token::Text(name)) => name.clone(),
                other => return Err(unexpected(other)),
            };
            self.expect(":")?;
            if item.insert(name, self.parameter()?).is_some() {
                return Err(Failure::invalid("an attribute is there twice"));
            }
            if !self.next_if(",") {
                break;
            }
        }
        self.expect("}")?;
        Ok(Statement { table, write: StatementWrite::Insert(item) })
    }

    fn update(&mut self) -> Result<Statement, Failure> {
        self.expect("UPDATE")?;
        let table = self.name()?;
        let (mut set, mut remove, mut filter) = (Item::new(), Vec::new(), Item::new());
        while self.next_if("SET") {
            let (name, value) = self.equation()?;
            if set.insert(name, value).is_some() {
                return Err(Failure::invalid("Two document paths overlap with each other"));
            }
        }
        while self.next_if("REMOVE") {
            remove.push(self.name()?);
        }
        self.expect("WHERE")?;
        filter.extend([self.equation()?]);
        while self.next_if("AND") {
            filter.extend([self.equation()?]);
        }
        if remove.iter().any(|name| set.contains_key(name)) {
            return Err(Failure::invalid("Two document paths overlap with each other"));
        }
        Ok(Statement { table, write: StatementWrite::Update { set, remove, filter } })
    }
}
