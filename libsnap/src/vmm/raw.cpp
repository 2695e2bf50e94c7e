// SPDX-License-Identifier: Apache-2.0
// Raw guest memory: a file that may have holes, or a stream.
#include <algorithm>

#include "base/bytes.h"
#include "base/fail.h"
#include "snap/import.h"

namespace snap {
namespace {

/// Cancelling and progress come once for so many bytes of a file.
constexpr std::uint64_t kStepBytes = 1u << 20;

Result<void> begin_raw(std::string_view name, std::uint64_t size, Writer& writer) {
  SNAP_TRY(writer.set_metadata("source.format", format_name(Format::kRaw)));
  RegionInfo info;
  info.name = name;
  info.size = size;
  return writer.begin_region(info);
}

Result<void> step(const ImportOptions& options, std::uint64_t offset, std::uint64_t bytes) {
  if (options.cancel != nullptr && options.cancel->load(std::memory_order_relaxed))
    return fail(Code::kCancelled, "cancelled", offset);
  if (options.progress != nullptr) options.progress->fetch_add(bytes, std::memory_order_relaxed);
  return {};
}

/// Counts what is read, and ends it when that is wanted.
class WatchedStream final : public ByteSource {
 public:
  WatchedStream(ByteSource& stream, const ImportOptions& options) : stream_(stream), options_(options) {}

  Result<std::size_t> read(std::span<std::byte> out) override {
    SNAP_TRY_ASSIGN(got, stream_.read(out));
    SNAP_TRY(step(options_, offset_, got));
    offset_ += got;
    return got;
  }

 private:
  ByteSource& stream_;
  const ImportOptions& options_;
  std::uint64_t offset_ = 0;
};

}  // namespace

Result<void> import_raw(RandomSource& memory, std::string_view name, Writer& writer, const ImportOptions& options) {
  SNAP_TRY_ASSIGN(size, memory.size());
  SNAP_TRY(begin_raw(name, size, writer));
  std::uint64_t offset = 0;
  while (offset < size) {
    SNAP_TRY_ASSIGN(found, memory.next_data(offset));
    // Holes count by whole pages: a hole's last part may share its page with data.
    const std::uint64_t data = std::max(offset, std::min(found, size) / kPageBytes * kPageBytes);
    const std::uint64_t next = found >= size ? size : data;
    if (next > offset) {
      SNAP_TRY(writer.skip(next - offset));
      SNAP_TRY(step(options, offset, next - offset));
      offset = next;
      continue;
    }
    const std::uint64_t length = std::min(kStepBytes, size - offset);
    SNAP_TRY(writer.write_from(memory, offset, length));
    SNAP_TRY(step(options, offset, length));
    offset += length;
  }
  return writer.end_region();
}

Result<void> import_raw_stream(ByteSource& memory, std::string_view name, Writer& writer, const ImportOptions& options) {
  SNAP_TRY(begin_raw(name, kUnknownSize, writer));
  WatchedStream watched(memory, options);
  SNAP_TRY(writer.write_rest(watched));
  return writer.end_region();
}

}  // namespace snap
