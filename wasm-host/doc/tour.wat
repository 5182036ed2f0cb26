;; The filter of the documentation's examples. It does a little of everything, by the request's path:
;;   /admin    replies 403 itself
;;   /check    asks the cluster `auth`, and lets pass what that answers 200
;;   /limit    asks the gRPC service `pkg.Limits` in the cluster `limits`, and lets pass what that answers with a message
;;   /shout    adds the header `x-shout` with what the foreign function `shout` makes of the path
;;   /who      adds the header `x-who` with the filter state `who`
;;   /job      puts the path into the queue `jobs`, and into the shared data `last`
;;   /wait     pauses, and nothing will resume it
;;   /trap     traps
;; It refuses a configuration that begins with `{`, and puts any other into each response as `x-tour`. It counts requests in `tour.requests`,
;; logs the path of every ended stream, logs each job that it takes from the queue, logs once a second, and closes connections that send `!`.
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $set_tick (param i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $get_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_http_call" (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_call" (func $grpc_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $set_context (param i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $set_shared (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_register_shared_queue" (func $register_queue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define_metric (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment_metric (param i32 i64) (result i32)))
  (import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 64) ":path")
  (data (i32.const 72) "x-tour")
  (data (i32.const 80) "x-shout")
  (data (i32.const 88) "x-who")
  (data (i32.const 96) "tour.requests")
  (data (i32.const 112) "not for you")
  (data (i32.const 128) "expected a text, found `{`")
  (data (i32.const 160) "filter_state\00who")
  (data (i32.const 180) "auth")
  (data (i32.const 184) "limits")
  (data (i32.const 192) "pkg.Limits")
  (data (i32.const 204) "Check")
  (data (i32.const 212) "shout")
  (data (i32.const 220) "jobs")
  (data (i32.const 224) "last")
  (data (i32.const 228) "tick")
  (data (i32.const 232) "visited")
  (data (i32.const 240) "yes")
  (data (i32.const 244) ":status")
  ;; A serialized map: `:method: GET`, `:path: /check`, `:authority: auth`.
  (data (i32.const 256) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\06\00\00\00\0a\00\00\00\04\00\00\00"
                        ":method\00GET\00:path\00/check\00:authority\00auth\00")
  ;; What the host returns by pointer goes to 0 (where) and 4 (how long).
  (global $heap (mut i32) (i32.const 65536))
  (global $metric (mut i32) (i32.const 0))
  (global $queue (mut i32) (i32.const 0))
  (global $config (mut i32) (i32.const 0))
  (global $config_length (mut i32) (i32.const 0))
  ;; The stream that waits for an answer.
  (global $waiting (mut i32) (i32.const 0))

  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param $size i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (local.get $size))))

  (func (export "proxy_on_configure") (param $root i32) (param $size i32) (result i32)
    (drop (call $define_metric (i32.const 0) (i32.const 96) (i32.const 13) (i32.const 0)))
    (global.set $metric (i32.load (i32.const 0)))
    (drop (call $register_queue (i32.const 220) (i32.const 4) (i32.const 0)))
    (global.set $queue (i32.load (i32.const 0)))
    (drop (call $set_tick (i32.const 1000)))
    (if (i32.eqz (local.get $size)) (then (return (i32.const 1))))
    (drop (call $get_buffer (i32.const 7) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
    (global.set $config (i32.load (i32.const 0)))
    (global.set $config_length (i32.load (i32.const 4)))
    (if (i32.eq (i32.load8_u (global.get $config)) (i32.const 0x7b)) (then
      (drop (call $log (i32.const 4) (i32.const 128) (i32.const 26)))
      (return (i32.const 0))))
    (i32.const 1))
  (func (export "proxy_on_tick") (param $root i32)
    (drop (call $log (i32.const 2) (i32.const 228) (i32.const 4))))
  (func (export "proxy_on_queue_ready") (param $root i32) (param $token i32)
    (drop (call $dequeue (local.get $token) (i32.const 0) (i32.const 4)))
    (drop (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4)))))

  (func (export "proxy_on_request_headers") (param $id i32) (param $count i32) (param $end i32) (result i32) (local $letter i32)
    (drop (call $increment_metric (global.get $metric) (i64.const 1)))
    (drop (call $set_property (i32.const 232) (i32.const 7) (i32.const 240) (i32.const 3)))
    (drop (call $get_header (i32.const 0) (i32.const 64) (i32.const 5) (i32.const 0) (i32.const 4)))
    (local.set $letter (i32.load8_u offset=1 (i32.load (i32.const 0))))
    (global.set $waiting (local.get $id))
    (if (i32.eq (local.get $letter) (i32.const 0x61)) (then ;; a
      (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 112) (i32.const 11) (i32.const 0) (i32.const 0) (i32.const -1)))
      (return (i32.const 1))))
    (if (i32.eq (local.get $letter) (i32.const 0x63)) (then ;; c
      (drop (call $http_call (i32.const 180) (i32.const 4) (i32.const 256) (i32.const 69) (i32.const 0) (i32.const 0)
                             (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 8)))
      (return (i32.const 1))))
    (if (i32.eq (local.get $letter) (i32.const 0x6c)) (then ;; l
      (drop (call $grpc_call (i32.const 184) (i32.const 6) (i32.const 192) (i32.const 10) (i32.const 204) (i32.const 5)
                             (i32.const 0) (i32.const 0) (i32.const 240) (i32.const 3) (i32.const 1000) (i32.const 8)))
      (return (i32.const 1))))
    (if (i32.eq (local.get $letter) (i32.const 0x73)) (then ;; s
      (if (call $foreign (i32.const 212) (i32.const 5) (i32.load (i32.const 0)) (i32.load (i32.const 4)) (i32.const 8) (i32.const 12))
        (then (return (i32.const 0))))
      ;; A null pointer says that no result is wanted.
      (drop (call $add_header (i32.const 0) (i32.const 80) (i32.const 7) (i32.load (i32.const 8)) (i32.load (i32.const 12))))))
    (if (i32.eq (local.get $letter) (i32.const 0x77)) (then ;; w: /who or /wait
      (if (i32.eq (i32.load8_u offset=2 (i32.load (i32.const 0))) (i32.const 0x61)) (then (return (i32.const 1))))
      (if (call $get_property (i32.const 160) (i32.const 16) (i32.const 0) (i32.const 4)) (then (return (i32.const 0))))
      (drop (call $add_header (i32.const 0) (i32.const 88) (i32.const 5) (i32.load (i32.const 0)) (i32.load (i32.const 4))))))
    (if (i32.eq (local.get $letter) (i32.const 0x6a)) (then ;; j
      (drop (call $enqueue (global.get $queue) (i32.load (i32.const 0)) (i32.load (i32.const 4))))
      (drop (call $set_shared (i32.const 224) (i32.const 4) (i32.load (i32.const 0)) (i32.load (i32.const 4)) (i32.const 0)))))
    (if (i32.eq (local.get $letter) (i32.const 0x74)) (then unreachable)) ;; t
    (i32.const 0))

  (func $refuse (param $status i32)
    (drop (call $reply (local.get $status) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1))))
  (func (export "proxy_on_http_call_response") (param $root i32) (param $token i32) (param $count i32) (param $size i32) (param $trailers i32)
    (drop (call $get_header (i32.const 6) (i32.const 244) (i32.const 7) (i32.const 0) (i32.const 4)))
    (drop (call $set_context (global.get $waiting)))
    (if (i32.eq (i32.load8_u (i32.load (i32.const 0))) (i32.const 0x32))
      (then (drop (call $continue (i32.const 0))))
      (else (call $refuse (i32.const 401)))))
  (func (export "proxy_on_grpc_receive") (param $root i32) (param $token i32) (param $size i32)
    (drop (call $set_context (global.get $waiting)))
    (drop (call $continue (i32.const 0))))
  (func (export "proxy_on_grpc_close") (param $root i32) (param $token i32) (param $status i32)
    (drop (call $set_context (global.get $waiting)))
    (call $refuse (i32.const 429)))

  (func (export "proxy_on_response_headers") (param $id i32) (param $count i32) (param $end i32) (result i32)
    (drop (call $add_header (i32.const 2) (i32.const 72) (i32.const 6) (global.get $config) (global.get $config_length)))
    (i32.const 0))

  (func (export "proxy_on_downstream_data") (param $id i32) (param $size i32) (param $end i32) (result i32)
    (if (i32.eqz (local.get $size)) (then (return (i32.const 0))))
    (drop (call $get_buffer (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 4)))
    (if (i32.eq (i32.load8_u (i32.load (i32.const 0))) (i32.const 0x21)) (then
      (drop (call $close (i32.const 2)))
      (return (i32.const 1))))
    (i32.const 0))

  (func (export "proxy_on_log") (param $id i32)
    (if (call $get_header (i32.const 0) (i32.const 64) (i32.const 5) (i32.const 0) (i32.const 4)) (then (return)))
    (drop (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4))))))
