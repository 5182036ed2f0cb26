// On the public AssemblyScript SDK: greets with the plugin's configuration, forbids /private, and asks a service about /ask.
export * from "@solo-io/proxy-runtime/proxy";
import {
  Context, Counter, FilterHeadersStatusValues, GrpcStatusValues, HeaderPair, Headers, LogLevelValues, RootContext, continue_request, log,
  registerRootContext, send_local_response, stream_context,
} from "@solo-io/proxy-runtime";

class Greeter extends RootContext {
  createContext(context_id: u32): Context {
    return new Stream(context_id, this);
  }
}

function pair(name: string, value: string): HeaderPair {
  return new HeaderPair(String.UTF8.encode(name), String.UTF8.encode(value));
}

class Stream extends Context {
  constructor(context_id: u32, root_context: Greeter) {
    super(context_id, root_context);
  }

  onRequestHeaders(count: u32, end_of_stream: bool): FilterHeadersStatusValues {
    const path = stream_context.headers.request.get(":path");
    if (path == "/private") {
      new Counter("greeter.forbidden").increment(1);
      const headers: Headers = [pair("x-by", "assemblyscript")];
      send_local_response(403, "private", String.UTF8.encode("not for you"), headers, GrpcStatusValues.PermissionDenied);
      return FilterHeadersStatusValues.StopIteration;
    }
    if (path == "/ask") {
      const headers: Headers = [pair(":method", "GET"), pair(":path", "/name"), pair(":authority", "names")];
      this.root_context.httpCall("names", headers, new ArrayBuffer(0), [], 1000, this, (origin: Context, headers: u32, size: usize, trailers: u32): void => {
        log(LogLevelValues.info, "the service answered with " + size.toString() + " bytes");
        stream_context.headers.request.add("x-asked", stream_context.headers.http_callback.get(":status"));
        continue_request();
      });
      return FilterHeadersStatusValues.StopIteration;
    }
    return FilterHeadersStatusValues.Continue;
  }

  onResponseHeaders(count: u32, end_of_stream: bool): FilterHeadersStatusValues {
    stream_context.headers.response.add("x-greeting", this.root_context.getConfiguration());
    return FilterHeadersStatusValues.Continue;
  }
}

registerRootContext((context_id: u32) => { return new Greeter(context_id); }, "greeter");
