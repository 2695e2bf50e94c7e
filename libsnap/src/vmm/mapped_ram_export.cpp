// SPDX-License-Identifier: Apache-2.0
// A mapped-ram file: the migration stream whose list of RAM blocks has, behind each block's entry, room for all its pages.
#include <algorithm>

#include "base/bytes.h"
#include "base/fail.h"
#include "io/file.h"
#include "snap/import.h"
#include "snap/restore.h"
#include "vmm/big_endian.h"
#include "vmm/qemu_frame.h"
#include "vmm/ram_intake.h"

namespace snap {
namespace {

constexpr std::string_view kCapabilities = "configuration/capabilities";
constexpr std::string_view kMappedRam = "mapped-ram";

/// The pages of a region that are not zero, or were not in one of its parents; told by indexes and page maps, nothing is decoded.
Result<PageSet> pages_to_read(Reader& reader, std::size_t region) {
  const RegionInfo& info = reader.regions()[region];
  std::vector<Reader*> chain;
  for (Reader* file = &reader; file != nullptr; file = file->parent()) chain.push_back(file);
  PageSet pages;
  for (std::size_t above = chain.size(); above-- > 0;) {
    const auto at = chain[above]->find(info.kind, info.name);
    if (!at) continue;
    const auto note = [&](const ChangedRange& range) -> Result<void> {
      const std::uint64_t end = std::min(range.offset + range.length, info.size);
      for (std::uint64_t offset = range.offset; offset < end; offset += kPageBytes) {
        range.zero ? pages.remove(offset / kPageBytes) : pages.add(offset / kPageBytes);
      }
      return {};
    };
    if (auto visited = visit_changes(*chain[above], *at, note); !visited) return of_ancestor(visited.error(), static_cast<unsigned>(above));
  }
  return pages;
}

class MappedRamExport {
 public:
  MappedRamExport(Reader& reader, int fd, const ExportOptions& options) : reader_(reader), fd_(fd), options_(options) {}

  Result<void> run() {
    SNAP_TRY_ASSIGN(frame, qemu_frame(reader_));
    if (!frame.head.has_configuration) return fail(Code::kUnsupported, "a machine so old that its migration stream has no configuration cannot have mapped-ram");
    Bytes bytes = configuration(frame.head);
    append_ram_start(bytes, frame);
    SNAP_TRY(put(bytes));
    for (std::size_t region = 0; region < reader_.regions().size(); ++region) {
      if (reader_.regions()[region].kind == RegionKind::kMemory) SNAP_TRY(block(region));
    }
    bytes.clear();
    append_ram_end(bytes, frame);
    append_section(bytes, kQemuEnd, frame.ram_id);
    append_ram_end(bytes, frame);
    SNAP_TRY(put(bytes));
    const auto devices = reader_.find(RegionKind::kState, kQemuDevicesState);
    return restore_to_file(reader_, *devices, fd_, at_, {.threads = 0, .target_is_zero = options_.target_is_zero, .cancel = options_.cancel});
  }

 private:
  Result<void> put(std::span<const std::byte> bytes) {
    SNAP_TRY(write_at(fd_, bytes, at_));
    at_ += bytes.size();
    return {};
  }

  static Bytes configuration(const QemuHead& head) {
    if (head.mapped_ram) return head.bytes;
    Bytes bytes = head.without_lists;
    append_be(bytes, std::uint8_t{kQemuSubsection});
    append_short_text(bytes, kCapabilities);
    append_be(bytes, std::uint32_t{1});
    append_be(bytes, std::uint32_t{1});
    append_short_text(bytes, kMappedRam);
    return bytes;
  }

  Result<void> block(std::size_t region) {
    const RegionInfo& info = reader_.regions()[region];
    const std::uint64_t pages = info.size / kPageBytes;
    const std::uint64_t bitmap_at = at_ + 1 + info.name.size() + 8 + kMappedHeaderBytes;
    const std::uint64_t bitmap_bytes = ceil_div(pages, 64) * 8;
    const std::uint64_t pages_at = ceil_div(bitmap_at + bitmap_bytes, kMappedPagesAlign) * kMappedPagesAlign;
    Bytes bytes;
    append_short_text(bytes, info.name);
    append_be(bytes, info.size);
    append_be(bytes, kMappedVersion);
    append_be(bytes, std::uint64_t{kPageBytes});
    append_be(bytes, bitmap_at);
    append_be(bytes, pages_at);
    SNAP_TRY(put(bytes));
    SNAP_TRY(bitmap(region, pages, bitmap_bytes));
    const RestoreOptions how{
        .threads = options_.threads, .target_is_zero = options_.target_is_zero, .progress = options_.progress, .cancel = options_.cancel};
    SNAP_TRY(restore_to_file(reader_, region, fd_, pages_at, how));
    at_ = pages_at + info.size;
    return {};
  }

  Result<void> bitmap(std::size_t region, std::uint64_t pages, std::uint64_t bitmap_bytes) {
    SNAP_TRY_ASSIGN(wanted, pages_to_read(reader_, region));
    Bytes piece;
    for (std::uint64_t done = 0; done < bitmap_bytes; done += piece.size()) {
      piece.assign(static_cast<std::size_t>(std::min<std::uint64_t>(kPageBytes, bitmap_bytes - done)), std::byte{0});
      const std::uint64_t first = done * 8;
      const std::uint64_t end = std::min(first + piece.size() * 8, pages);
      std::uint64_t page = wanted.next(first, end);
      const bool any = page < end;
      for (; page < end; page = wanted.next(page + 1, end)) piece[(page - first) / 8] |= std::byte{1} << page % 8;
      if (any || !options_.target_is_zero) SNAP_TRY(write_at(fd_, piece, at_ + done));
    }
    at_ += bitmap_bytes;
    return {};
  }

  Reader& reader_;
  int fd_;
  const ExportOptions& options_;
  std::uint64_t at_ = 0;
};

}  // namespace

Result<void> export_mapped_ram(Reader& reader, int fd, const ExportOptions& options) { return MappedRamExport(reader, fd, options).run(); }

}  // namespace snap
