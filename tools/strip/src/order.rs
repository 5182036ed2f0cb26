//! Puts the functions that a request runs side by side. An engine lays compiled functions out in the order in which the module has them, and a
//! request that finds its code in few pages waits less for memory: walrus leaves them sorted by size.

use std::collections::HashMap;

use anyhow::Context as _;
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{CodeSection, FunctionSection, Module, NameMap, NameSection};
use wasmparser::{CodeSectionReader, FunctionSectionReader, KnownCustom, Name, NameSectionReader, Parser, Payload};

use crate::imports;

/// The same module with its functions in the order of `rank`, lowest first, those of one rank as they are. `kept` says which names stay.
pub(crate) fn reorder(module: &[u8], rank: impl Fn(&str) -> usize, kept: impl Fn(&str) -> Option<String>) -> anyhow::Result<Vec<u8>> {
    let Functions { imported, count, names } = Functions::of(module)?;
    let mut order: Vec<u32> = (imported..count).collect();
    order.sort_by_key(|index| rank(names.get(index).map_or("", String::as_str)));
    let places: HashMap<u32, u32> = order.iter().copied().zip(imported..).collect();
    let mut new = Module::new();
    let mut reorder = Reorder { order: &order, places: &places, imported };
    reorder.parse_core_module(&mut new, Parser::new(0), module).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut functions = NameMap::new();
    for (place, name) in (imported..).zip(order.iter().map(|index| names.get(index))) {
        name.and_then(|name| kept(name)).iter().for_each(|name| functions.append(place, name));
    }
    let mut section = NameSection::new();
    section.functions(&functions);
    new.section(&section);
    Ok(new.finish())
}

/// What a module has of functions.
struct Functions {
    imported: u32,
    /// With the imported ones.
    count: u32,
    names: HashMap<u32, String>,
}

impl Functions {
    fn of(module: &[u8]) -> anyhow::Result<Self> {
        let mut functions = Self { imported: 0, count: 0, names: HashMap::new() };
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload?;
            if let Payload::ImportSection(section) = payload {
                functions.imported = imports::functions(section)?;
            } else if let Payload::FunctionSection(section) = payload {
                functions.count = functions.imported + section.count();
            } else if let Payload::CustomSection(section) = payload
                && let KnownCustom::Name(names) = section.as_known()
            {
                functions.read_names(names)?;
            }
        }
        Ok(functions)
    }

    fn read_names(&mut self, names: NameSectionReader<'_>) -> anyhow::Result<()> {
        for name in names {
            if let Name::Function(map) = name.context("the name section cannot be read")? {
                for naming in map {
                    let naming = naming?;
                    self.names.insert(naming.index, naming.name.to_owned());
                }
            }
        }
        Ok(())
    }
}

struct Reorder<'o> {
    /// Old indices of the functions that are the module's own.
    order: &'o [u32],
    /// New indices by old ones.
    places: &'o HashMap<u32, u32>,
    imported: u32,
}

impl Reorder<'_> {
    /// The items of a section with one for each function, in the new order.
    fn sorted<T: Clone>(&self, items: &[T]) -> Vec<T> {
        let at = |index: &u32| items.get(usize::try_from(index.checked_sub(self.imported)?).ok()?).cloned();
        self.order.iter().filter_map(at).collect()
    }
}

impl Reencode for Reorder<'_> {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, index: u32) -> Result<u32, Error> {
        Ok(self.places.get(&index).copied().unwrap_or(index))
    }

    fn parse_function_section(&mut self, functions: &mut FunctionSection, section: FunctionSectionReader<'_>) -> Result<(), Error> {
        let types = section.into_iter().collect::<Result<Vec<u32>, _>>()?;
        for index in self.sorted(&types) {
            functions.function(self.type_index(index)?);
        }
        Ok(())
    }

    fn parse_code_section(&mut self, code: &mut CodeSection, section: CodeSectionReader<'_>) -> Result<(), Error> {
        let bodies = section.into_iter().collect::<Result<Vec<_>, _>>()?;
        for body in self.sorted(&bodies) {
            utils::parse_function_body(self, code, body)?;
        }
        Ok(())
    }

    /// Names are written anew.
    fn parse_custom_section(&mut self, module: &mut Module, section: wasmparser::CustomSectionReader<'_>) -> Result<(), Error> {
        if matches!(section.as_known(), KnownCustom::Name(_)) { Ok(()) } else { utils::parse_custom_section(self, module, section) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = r#"(module
        (import "env" "host" (func $host (param i32)))
        (table 1 funcref) (elem (i32.const 0) $cold)
        (func $cold (param i32) local.get 0 call $host)
        (func $warm (result i32) i32.const 7)
        (func $hot (export "run") call $warm call $cold))"#;

    /// As text, in which functions are called by their names.
    fn text(module: &[u8]) -> String {
        wasmprinter::print_bytes(module).unwrap()
    }

    #[test]
    fn functions_change_places_and_everything_still_means_the_same() {
        let module = wat::parse_str(MODULE).unwrap();
        let rank = |name: &str| ["hot", "warm"].iter().position(|hot| *hot == name).unwrap_or(2);
        let reordered = reorder(&module, rank, |name| Some(name.to_owned())).unwrap();
        let text = text(&reordered);
        let at = |name: &str| text.find(&format!("(func ${name} ")).unwrap();
        assert!(at("hot") < at("warm") && at("warm") < at("cold"), "{text}");
        for part in ["local.get 0\n    call 0", "call $warm\n    call $cold", "(export \"run\" (func $hot))", "func $cold)"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        wasmparser::validate(&reordered).unwrap();
    }
}
