// SPDX-License-Identifier: Apache-2.0
// A bare VM state stream, with and without a thread of the importer's own.
#include "support/fuzz_import.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace snap;
  const auto source = memory_source(std::as_bytes(std::span(data, size)));
  ImportOptions options;
  options.threads = size % 8 == 0 ? 1 : 0;  // a thread costs more than most inputs
  test::import_and_export([&](Writer& writer, const ImportOptions& with) { return import_vmstate(*source, writer, with); },
                          options);
  return 0;
}
