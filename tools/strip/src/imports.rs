use wasmparser::{ImportSectionReader, TypeRef};

/// The functions that a module imports. Its own are numbered after them.
pub(crate) fn functions(section: ImportSectionReader<'_>) -> anyhow::Result<u32> {
    let mut count = 0_u32;
    for import in section.into_imports() {
        count = count.saturating_add(u32::from(matches!(import?.ty, TypeRef::Func(_))));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use wasmparser::{Parser, Payload};

    use super::*;

    #[test]
    fn only_functions_are_counted() {
        let module = wat::parse_str(r#"(module (import "a" "f" (func)) (import "a" "m" (memory 1)) (import "a" "g" (func (param i32))))"#);
        let module = module.unwrap();
        let sections = Parser::new(0).parse_all(&module).filter_map(|payload| {
            if let Payload::ImportSection(section) = payload.unwrap() { Some(functions(section).unwrap()) } else { None }
        });
        assert_eq!(sections.collect::<Vec<_>>(), [2]);
    }
}
