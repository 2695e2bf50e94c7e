// SPDX-License-Identifier: Apache-2.0
// A save file of xl: what is imported comes back byte for byte. Or, where the input begins otherwise, the recipe of one in a snapshot.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "support/xen_import.h"

namespace {

using namespace snap;
using namespace snap::test;

void require(bool held, const char* what) {
  if (held) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

/// Takes no more than so much: a recipe says much in few bytes.
class LimitedSink final : public ByteSink {
 public:
  Result<void> write(std::span<const std::byte> bytes) override {
    if (bytes.size() > left_) return Error{Code::kIo, 0, 0, 0, "enough", 0};
    left_ -= bytes.size();
    return {};
  }

 private:
  std::size_t left_ = 16u << 20;
};

void import_and_export(std::span<const std::byte> save) {
  const StreamImport snapshot = import_save(save);
  if (!snapshot.ok()) {
    require(std::strlen(snapshot.error.what) != 0, "an error without a cause");
    require(snapshot.error.code != Code::kInvalidArgument && snapshot.error.code != Code::kIo, "an error that is not the file's");
    require(snapshot.error.file_offset <= save.size(), "an error behind the end of the file");
    return;
  }
  const XenFile back = export_save(snapshot.file);
  require(back.error.code == Code::kOk, "the export of an imported save file failed");
  require(back.report.identical && std::equal(back.bytes.begin(), back.bytes.end(), save.begin(), save.end()), "a save file did not come back");
}

void export_of(std::span<const std::byte> recipe) {
  Buffer file;
  const auto to = memory_sink(file);
  WriterOptions how;
  how.threads = 0;
  auto writer = Writer::create(*to, how);
  RegionInfo ram;
  ram.name = "ram";
  ram.size = 4 * 4096;
  require(writer && (*writer)->begin_region(ram) && (*writer)->skip(ram.size) && (*writer)->end_region(), "no memory");
  require(write_state(**writer, "xen.recipe", recipe) && write_state(**writer, "xen.superseded", Buffer(2 * 4096)) && (*writer)->finish(),
          "no states");
  const auto source = memory_source(file);
  const auto reader = Reader::open(*source);
  require(reader.has_value(), "no snapshot");
  LimitedSink sink;
  ExportOptions options;
  options.threads = 0;
  const auto exported = export_xen(**reader, sink, options);
  require(exported || exported.error().code == Code::kCorrupt || exported.error().code == Code::kIo, "an error that is not the recipe's");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  if (size > 8 && std::memcmp(data, "XENSAVE1", 8) == 0) {
    export_of(bytes);
  } else {
    import_and_export(bytes);
  }
  return 0;
}
