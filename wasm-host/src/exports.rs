//! What a module exports, found once when it is loaded, so that starting a VM looks nothing up by name.

use wasmtime::{AsContextMut, Func, Instance, Memory, Module, ModuleExport};

use crate::callbacks::{CALLBACKS, MALLOC};

pub(crate) struct Exports {
    callbacks: Vec<Callback>,
    memory: Option<ModuleExport>,
    allocator: Option<ModuleExport>,
}

pub(crate) struct Callback {
    name: &'static str,
    export: ModuleExport,
    parameters: usize,
    returns: bool,
}

impl Exports {
    /// Their types were checked.
    pub(crate) fn of(module: &Module) -> Self {
        let find = |(name, ..): (&'static str, usize, usize)| {
            let kind = module.get_export(name)?.func()?.clone();
            let export = module.get_export_index(name)?;
            Some(Callback { name, export, parameters: kind.params().len(), returns: kind.results().len() > 0 })
        };
        let allocators = [MALLOC, "proxy_on_memory_allocate"]
            .into_iter()
            .filter(|name| module.get_export(name).is_some_and(|kind| kind.func().is_some()));
        let allocator = allocators.map(|name| module.get_export_index(name)).next().flatten();
        // By whatever name; of several, Envoy takes the last.
        let memories = module.exports().filter(|export| export.ty().memory().is_some());
        let memory = memories.last().and_then(|export| module.get_export_index(export.name()));
        Self { callbacks: CALLBACKS.into_iter().filter_map(find).collect(), memory, allocator }
    }

    pub(crate) fn callback(&self, name: &str) -> Option<&Callback> {
        self.callbacks.iter().find(|callback| callback.name == name)
    }

    pub(crate) fn memory(&self, store: impl AsContextMut, instance: Instance) -> Option<Memory> {
        instance.get_module_export(store, self.memory.as_ref()?)?.into_memory()
    }

    pub(crate) fn allocator(&self, store: impl AsContextMut, instance: Instance) -> Option<Func> {
        instance.get_module_export(store, self.allocator.as_ref()?)?.into_func()
    }
}

impl Callback {
    /// Calls it with as many of the arguments as it takes: ABI 0.1.0 knows less of the last ones. `None` when it returns nothing.
    pub(crate) fn call(&self, mut store: impl AsContextMut, instance: Instance, arguments: &[u32]) -> wasmtime::Result<Option<u32>> {
        let function = instance.get_module_export(&mut store, &self.export).and_then(wasmtime::Extern::into_func);
        let function = function.ok_or_else(|| wasmtime::Error::msg("the export is no function"))?;
        let argument = |index: usize| arguments.get(index).copied().unwrap_or_default();
        let [a, b, c, d, e] = std::array::from_fn(argument);
        macro_rules! call {
            ($($argument:ident),* => $result:ty) => {{
                let function = function.typed::<($(number!($argument),)*), $result>(&store)?;
                function.call(&mut store, ($($argument,)*))?
            }};
        }
        macro_rules! number {
            ($argument:ident) => {
                u32
            };
        }
        match (self.parameters, self.returns) {
            (0, false) => call!(=> ()),
            (1, false) => call!(a => ()),
            (2, false) => call!(a, b => ()),
            (3, false) => call!(a, b, c => ()),
            (5, false) => call!(a, b, c, d, e => ()),
            (0, true) => return Ok(Some(call!(=> u32))),
            (1, true) => return Ok(Some(call!(a => u32))),
            (2, true) => return Ok(Some(call!(a, b => u32))),
            (3, true) => return Ok(Some(call!(a, b, c => u32))),
            // No callback of any ABI version has another type.
            (parameters, _) => return Err(wasmtime::Error::msg(format!("a callback has {parameters} parameters"))),
        }
        Ok(None)
    }
}
