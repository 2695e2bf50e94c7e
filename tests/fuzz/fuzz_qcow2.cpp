// SPDX-License-Identifier: Apache-2.0
// A qcow2 image: its snapshots listed, and each one with VM state imported.
#include "support/fuzz_import.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace snap;
  const auto source = memory_source(std::as_bytes(std::span(data, size)));
  const auto snapshots = list_qcow2_snapshots(*source);
  if (!snapshots) return 0;
  constexpr std::size_t kEnough = 4;
  for (std::size_t index = 0; index < std::min(kEnough, snapshots->size()); ++index) {
    ImportOptions options;
    options.threads = 0;
    options.snapshot = (*snapshots)[index].id;
    const auto import = [&](Writer& writer, const ImportOptions& with) -> Result<void> {
      const auto imported = import_qcow2(*source, writer, with);
      return imported ? Result<void>() : Result<void>(imported.error());
    };
    test::import_and_export(import, options);
  }
  return 0;
}
