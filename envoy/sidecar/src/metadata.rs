use std::path::Path;

use meshwright_envoy_config::NodeMetadata;

use crate::options::SidecarOptions;

/// What the control plane must know of this proxy.
///
/// # Errors
/// When the folder's name is not UTF-8: Envoy's configuration is JSON, which has no other bytes.
pub(crate) fn node_metadata(
    options: &SidecarOptions,
    module_dir: &Path,
    module_sha256: String,
    envoy_version: String,
) -> anyhow::Result<NodeMetadata> {
    Ok(NodeMetadata {
        namespace: options.workload.namespace().to_owned(),
        workload: options.workload.name().to_owned(),
        service_account: options.service_account.clone(),
        module_dir: utf8(module_dir)?,
        module_sha256,
        outbound_address: options.outbound,
        apps: options.apps.iter().map(|mapping| (mapping.port(), mapping.app())).collect(),
        tcp: options.tcp.iter().map(|mapping| (mapping.service().to_owned(), mapping.local())).collect(),
        envoy_version,
    })
}

pub(crate) fn utf8(path: &Path) -> anyhow::Result<String> {
    match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => {
            anyhow::bail!("`{}` is not UTF-8, and Envoy's configuration can name nothing else: choose another --state-dir", path.display())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use serde_json::json;

    use super::*;
    use crate::options::tests::options;

    #[test]
    fn says_what_the_contract_says() {
        let mut options = options("/s".into());
        options.apps = vec!["8080=127.0.0.1:9001".parse().unwrap()];
        options.tcp = vec!["ledger.bookshop.mesh:9000=127.0.0.1:19000".parse().unwrap()];
        let metadata = node_metadata(&options, Path::new("/s/modules"), "ab12".to_owned(), "1.40.0".to_owned()).unwrap();
        assert_eq!(
            serde_json::to_value(metadata).unwrap(),
            json!({
                "namespace": "shop", "workload": "cart-v1", "service_account": "cart",
                "module_dir": "/s/modules", "module_sha256": "ab12", "outbound_address": "127.0.0.1:15001",
                "apps": {"8080": "127.0.0.1:9001"}, "tcp": {"ledger.bookshop.mesh:9000": "127.0.0.1:19000"},
                "envoy_version": "1.40.0",
            })
        );
    }

    #[test]
    fn a_folder_that_json_cannot_name_is_refused() {
        let path = Path::new(OsStr::from_bytes(b"/s\xff"));
        assert!(utf8(path).unwrap_err().to_string().contains("is not UTF-8"));
    }
}
