;; A filter in WebAssembly's text form: greets every client, and lets only those with an `x-admin` header see /admin.
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $get_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define_metric (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment_metric (param i32 i64) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 64) ":path")
  (data (i32.const 80) "/admin")
  (data (i32.const 96) "x-admin")
  (data (i32.const 112) "x-greeting")
  (data (i32.const 128) "hello.denied")
  (data (i32.const 160) "not for you")
  (data (i32.const 192) "no greeting is configured")
  ;; What the host returns by pointer goes to 0 (where) and 4 (how long).
  (global $heap (mut i32) (i32.const 65536))
  (global $greeting (mut i32) (i32.const 0))
  (global $greeting_length (mut i32) (i32.const 0))
  (global $denied (mut i32) (i32.const 0))

  (func (export "proxy_abi_version_0_2_1"))
  ;; Memory is never freed: good enough for a test of one stream.
  (func (export "malloc") (param $size i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (local.get $size))))

  (func (export "proxy_on_configure") (param $root i32) (param $size i32) (result i32)
    (drop (call $define_metric (i32.const 0) (i32.const 128) (i32.const 12) (i32.const 0)))
    (global.set $denied (i32.load (i32.const 0)))
    (if (i32.eqz (local.get $size)) (then
      (drop (call $log (i32.const 4) (i32.const 192) (i32.const 25)))
      (return (i32.const 0))))
    (drop (call $get_buffer (i32.const 7) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
    (global.set $greeting (i32.load (i32.const 0)))
    (global.set $greeting_length (i32.load (i32.const 4)))
    (i32.const 1))

  (func (export "proxy_on_request_headers") (param $id i32) (param $count i32) (param $end i32) (result i32) (local $at i32)
    (drop (call $get_header (i32.const 0) (i32.const 64) (i32.const 5) (i32.const 0) (i32.const 4)))
    (if (i32.lt_u (i32.load (i32.const 4)) (i32.const 6)) (then (return (i32.const 0))))
    ;; Not below /admin: go on.
    (block $admin (loop $next
      (br_if $admin (i32.eq (local.get $at) (i32.const 6)))
      (if (i32.ne (i32.load8_u (i32.add (i32.load (i32.const 0)) (local.get $at)))
                  (i32.load8_u (i32.add (i32.const 80) (local.get $at))))
        (then (return (i32.const 0))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next)))
    ;; Status 0: the header is there.
    (if (i32.eqz (call $get_header (i32.const 0) (i32.const 96) (i32.const 7) (i32.const 0) (i32.const 4)))
      (then (return (i32.const 0))))
    (drop (call $increment_metric (global.get $denied) (i64.const 1)))
    (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 160) (i32.const 11)
                       (i32.const 0) (i32.const 0) (i32.const -1)))
    (i32.const 1))

  (func (export "proxy_on_response_headers") (param $id i32) (param $count i32) (param $end i32) (result i32)
    (drop (call $add_header (i32.const 2) (i32.const 112) (i32.const 10) (global.get $greeting) (global.get $greeting_length)))
    (i32.const 0)))
