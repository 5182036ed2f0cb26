/* In C, with its libc: lets only requests with the right key pass, counts the others, and writes bodies in upper case.
   The key is the plugin's configuration. */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST(name) __attribute__((import_module("env"), import_name(#name)))
#define GUEST(name) __attribute__((export_name(#name)))

HOST(proxy_get_buffer_bytes) int proxy_get_buffer_bytes(int buffer, size_t start, size_t most, char **data, size_t *size);
HOST(proxy_set_buffer_bytes) int proxy_set_buffer_bytes(int buffer, size_t start, size_t size, const char *data, size_t data_size);
HOST(proxy_get_header_map_pairs) int proxy_get_header_map_pairs(int map, char **data, size_t *size);
HOST(proxy_remove_header_map_value) int proxy_remove_header_map_value(int map, const char *name, size_t name_size);
HOST(proxy_define_metric) int proxy_define_metric(int kind, const char *name, size_t size, uint32_t *id);
HOST(proxy_increment_metric) int proxy_increment_metric(uint32_t id, int64_t by);
HOST(proxy_send_local_response) int proxy_send_local_response(uint32_t status, const char *details, size_t details_size, const char *body,
    size_t body_size, const char *headers, size_t headers_size, int grpc_status);

enum { CONTINUE = 0, PAUSE = 1 };
enum { REQUEST_HEADERS = 0, RESPONSE_HEADERS = 2, RESPONSE_BODY = 1, PLUGIN_CONFIGURATION = 7 };

static char *key;
static size_t key_size;
static uint32_t refused;

/* Runs in `_initialize`, where only logging is allowed. */
__attribute__((constructor)) static void hello(void) { puts("guard is there"); }

GUEST(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}

GUEST(proxy_on_memory_allocate) void *proxy_on_memory_allocate(size_t size) { return malloc(size); }

GUEST(proxy_on_configure) int proxy_on_configure(int root, size_t size) {
  (void)root;
  free(key);
  key = NULL;
  if (size == 0) {
    fprintf(stderr, "guard: no key is configured\n");
    return 0;
  }
  proxy_define_metric(0, "guard.refused", strlen("guard.refused"), &refused);
  return proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, size, &key, &key_size) == 0;
}

static uint32_t number(const char *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

/* Whether the map has this value under this name. */
static int has(const char *map, const char *name, const char *value, size_t value_size) {
  uint32_t count = number(map);
  const char *at = map + 4 + 8 * count;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t found_name = number(map + 4 + 8 * i), found_value = number(map + 8 + 8 * i);
    const char *text = at + found_name + 1;
    if (found_name == strlen(name) && memcmp(at, name, found_name) == 0 && found_value == value_size && memcmp(text, value, value_size) == 0) {
      return 1;
    }
    at = text + found_value + 1;
  }
  return 0;
}

GUEST(proxy_on_request_headers) int proxy_on_request_headers(int id, int count, int ends) {
  (void)id, (void)count, (void)ends;
  char *map = NULL;
  size_t size = 0;
  proxy_get_header_map_pairs(REQUEST_HEADERS, &map, &size);
  int may = size != 0 && has(map, "x-key", key, key_size);
  free(map);
  if (may) {
    proxy_remove_header_map_value(REQUEST_HEADERS, "x-key", strlen("x-key"));
    return CONTINUE;
  }
  proxy_increment_metric(refused, 1);
  char body[64];
  int body_size = snprintf(body, sizeof body, "a key of %zu characters is needed", key_size);
  proxy_send_local_response(401, "no key", strlen("no key"), body, body_size, NULL, 0, -1);
  return PAUSE;
}

GUEST(proxy_on_response_headers) int proxy_on_response_headers(int id, int count, int ends) {
  (void)id, (void)count, (void)ends;
  return CONTINUE;
}

GUEST(proxy_on_response_body) int proxy_on_response_body(int id, size_t size, int ends) {
  (void)id, (void)ends;
  char *body = NULL;
  size_t body_size = 0;
  if (size == 0 || proxy_get_buffer_bytes(RESPONSE_BODY, 0, size, &body, &body_size) != 0 || body_size == 0) {
    return CONTINUE;
  }
  for (size_t i = 0; i < body_size; i++) {
    body[i] = (char)toupper((unsigned char)body[i]);
  }
  proxy_set_buffer_bytes(RESPONSE_BODY, 0, size, body, body_size);
  free(body);
  return CONTINUE;
}
