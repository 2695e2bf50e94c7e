// SPDX-License-Identifier: Apache-2.0
// A migration stream of today's QEMU becomes regions, one a RAM block, and two states: what stands before the RAM and behind it.
#include <zlib.h>

#include <algorithm>
#include <array>

#include "base/fail.h"
#include "vmm/decompress.h"
#include "vmm/guest_layout.h"
#include "vmm/metadata.h"
#include "vmm/qemu_stream.h"
#include "vmm/qemu_stream_import.h"
#include "vmm/ram_intake.h"

namespace snap {
namespace {

constexpr const char* kEnds = "the migration stream ends early";
constexpr const char* kNoEnd = "the migration stream ends early, or something stands behind it";
constexpr std::size_t kMostBlocks = 1024;
constexpr std::size_t kMostCompressed = 16 * 1024;
constexpr std::string_view kDirtyBitmapId = "dirty-bitmap";
constexpr std::byte kXbzrleKind{1};

enum Command : std::uint16_t { kPing = 2, kPostcopyAdvise = 3, kSwitchoverStart = 11 };

class QemuImport {
 public:
  QemuImport(ForwardStream& stream, Writer& writer, const ImportOptions& options)
      : stream_(stream), writer_(writer), options_(options), intake_(writer, options.spool_dir_fd) {}

  Result<Imported> run() {
    if (!options_.machine.empty() && !knows_machine(options_.machine)) return invalid("a machine type of which it is not known where its RAM lies");
    const std::uint64_t at = stream_.offset();
    SNAP_TRY_ASSIGN(head, take_qemu_head(stream_));
    head_ = std::move(head);
    if (head_.ignores_shared) {
      return unsupported(at, "the RAM is in a shared file and not in this migration stream (capability x-ignore-shared)");
    }
    SNAP_TRY(sections());
    SNAP_TRY(intake_.finish());
    SNAP_TRY(write_state(writer_, kQemuHeadState, head_.bytes));
    SNAP_TRY(devices());
    return corrections_of(intake_.take_late());
  }

 private:
  // ---- Sections ----

  /// All elements up to the first that is a device's or the end.
  Result<void> sections() {
    while (true) {
      const std::uint64_t at = stream_.offset();
      SNAP_TRY_ASSIGN(type, stream_.look(1, kEnds));
      switch (std::to_integer<std::uint8_t>(*type)) {
        case kQemuStart:
          SNAP_TRY(start(at));
          break;
        case kQemuPart:
        case kQemuEnd:
          SNAP_TRY(part(at));
          break;
        case kQemuCommand:
          SNAP_TRY(command(at));
          break;
        case kQemuFull:
        case kQemuEof:
          if (intake_.block_count() == 0) return fail(Code::kNotFound, "the migration stream has no RAM", at);
          return {};
        default:
          return corrupt(at, "unknown element in the migration stream", std::to_integer<std::uint64_t>(*type));
      }
    }
  }

  Result<void> start(std::uint64_t at) {
    SNAP_TRY(stream_.take(1, kEnds));
    SNAP_TRY_ASSIGN(id, stream_.take_be32(kEnds));
    SNAP_TRY_ASSIGN(name, short_text());
    SNAP_TRY_ASSIGN(instance, stream_.take_be32(kEnds));
    SNAP_TRY_ASSIGN(version, stream_.take_be32(kEnds));
    if (name == kDirtyBitmapId) {
      bitmap_id_ = id;
      SNAP_TRY(empty_bitmap(at));
      return footer(id);
    }
    if (name != kQemuRamId || instance != 0) {
      return unsupported(at, "the migration stream has a section before or beside the RAM whose length is not known");
    }
    if (version != kQemuRamVersion) return unsupported(at, "a RAM section of this version", version);
    if (ram_id_) return corrupt(at, "two RAM sections in the migration stream");
    ram_id_ = id;
    SNAP_TRY(records(at));
    if (intake_.block_count() == 0) return corrupt(at, "a RAM section without a list of blocks");
    return footer(id);
  }

  Result<void> part(std::uint64_t at) {
    SNAP_TRY(stream_.take(1, kEnds));
    SNAP_TRY_ASSIGN(id, stream_.take_be32(kEnds));
    if (ram_id_ && id == *ram_id_) {
      SNAP_TRY(records(at));
    } else if (bitmap_id_ && id == *bitmap_id_) {
      SNAP_TRY(empty_bitmap(at));
    } else {
      return corrupt(at, "a part of a section that did not begin", id);
    }
    return footer(id);
  }

  /// migration/block-dirty-bitmap.c: a flag that says: nothing more.
  Result<void> empty_bitmap(std::uint64_t at) {
    SNAP_TRY_ASSIGN(flags, stream_.take_byte(kEnds));
    if (flags != 1) return unsupported(at, "dirty bitmaps of disks in the migration stream");
    return {};
  }

  Result<void> footer(std::uint32_t id) {
    const std::uint64_t at = stream_.offset();
    SNAP_TRY_ASSIGN(type, stream_.look(1, kEnds));
    if (*type != std::byte{kQemuFooter}) return {};  // machine types older than 2.4 have none
    SNAP_TRY(stream_.take(1, kEnds));
    SNAP_TRY_ASSIGN(told, stream_.take_be32(kEnds));
    if (told != id) return corrupt(at, "a section's footer names another section", told);
    return {};
  }

  /// Those that a stream into a file has; they say nothing of memory or devices.
  Result<void> command(std::uint64_t at) {
    SNAP_TRY(stream_.take(1, kEnds));
    SNAP_TRY_ASSIGN(command, stream_.take_be16(kEnds));
    SNAP_TRY_ASSIGN(length, stream_.take_be16(kEnds));
    if (command != kPing && command != kPostcopyAdvise && command != kSwitchoverStart) {
      return unsupported(at, "a command in the migration stream that only a live peer can follow", command);
    }
    return stream_.skip(length, kEnds);
  }

  // ---- RAM ----

  Result<void> records(std::uint64_t section_at) {
    while (true) {
      const std::uint64_t at = stream_.offset();
      SNAP_TRY_ASSIGN(word, stream_.take_be64(kEnds));
      const std::uint64_t flags = word & kRamFlags;
      if (flags == kRamEos) return {};
      if (flags == kRamMultifdFlush) continue;
      if ((flags & ~std::uint64_t{kRamContinue}) == kRamMemSize) {
        SNAP_TRY(blocks(word & ~std::uint64_t{kRamFlags}, at));
        continue;
      }
      if (intake_.block_count() == 0) return corrupt(at, "a page in front of the list of RAM blocks", section_at);
      SNAP_TRY(record(word, at));
    }
  }

  Result<void> record(std::uint64_t word, std::uint64_t at) {
    const std::uint64_t flags = word & kRamFlags & ~std::uint64_t{kRamContinue};
    if ((word & kRamContinue) == 0) {
      SNAP_TRY(choose_block(at));
    } else if (!block_) {
      return corrupt(at, "a page that goes on with a RAM block where none was named");
    }
    const std::uint64_t page = word / kPageBytes;
    if (!intake_.holds(*block_, page)) return corrupt(at, "a page outside its RAM block", page);
    switch (flags) {
      case kRamPage: {
        SNAP_TRY_ASSIGN(bytes, stream_.take(kPageBytes, kEnds));
        return intake_.page(*block_, page, {bytes, kPageBytes});
      }
      case kRamZero: {
        SNAP_TRY_ASSIGN(fill, stream_.take_byte(kEnds));
        return fill == 0 ? intake_.zero_page(*block_, page) : filled_page(page, std::byte{fill});
      }
      case kRamXbzrle:
        return xbzrle_page(page, at);
      case kRamCompressed:
        return compressed_page(page, at);
      default:
        return corrupt(at, "a RAM record of an unknown kind", flags);
    }
  }

  Result<void> filled_page(std::uint64_t page, std::byte fill) {
    page_.fill(fill);
    return intake_.page(*block_, page, page_);
  }

  Result<void> xbzrle_page(std::uint64_t page, std::uint64_t at) {
    SNAP_TRY_ASSIGN(kind, stream_.take(1, kEnds));
    if (*kind != kXbzrleKind) return corrupt(at, "a difference of a page that is no XBZRLE", page);
    SNAP_TRY_ASSIGN(length, stream_.take_be16(kEnds));
    if (length > kPageBytes) return corrupt(at, "a difference larger than its page", length);
    SNAP_TRY_ASSIGN(bytes, stream_.take(length, kEnds));
    return intake_.delta(*block_, page, {bytes, length}, at);
  }

  Result<void> compressed_page(std::uint64_t page, std::uint64_t at) {
    SNAP_TRY_ASSIGN(length, stream_.take_be32(kEnds));
    if (length > kMostCompressed) return corrupt(at, "a compressed page that is too large", length);
    SNAP_TRY_ASSIGN(bytes, stream_.take(length, kEnds));
    uLongf size = kPageBytes;
    const int done = ::uncompress(reinterpret_cast<Bytef*>(page_.data()), &size, reinterpret_cast<const Bytef*>(bytes), length);
    if (done == Z_MEM_ERROR) return fail(Code::kNoMemory, "out of memory");
    if (done != Z_OK || size != kPageBytes) return corrupt(at, "a compressed page that does not give a page", page);
    return intake_.page(*block_, page, page_);
  }

  /// The name that stands before a page: most often that of the block before.
  Result<void> choose_block(std::uint64_t at) {
    SNAP_TRY_ASSIGN(length, stream_.take_byte(kEnds));
    SNAP_TRY_ASSIGN(bytes, stream_.take(length, kEnds));
    const std::string_view name = text_of({bytes, length});
    for (std::size_t i = 0; i < intake_.block_count(); ++i) {
      if (intake_.block(i).name == name) return block_ = i, Result<void>();
    }
    return corrupt(at, "a page of a RAM block that is not in the list");
  }

  // ---- The list of blocks ----

  struct Listed {
    std::string name;
    std::uint64_t size = 0;
    std::uint64_t at = 0;
  };

  Result<void> blocks(std::uint64_t total, std::uint64_t at) {
    if (intake_.block_count() != 0) return corrupt(at, "a second list of RAM blocks");
    if (total > kMaxRamBytes) return fail(Code::kLimit, "more memory than 8 TiB", at, total);
    if (head_.mapped_ram) return mapped_blocks(total, at);
    std::vector<Listed> list;
    for (std::uint64_t left = total; left != 0;) {
      SNAP_TRY_ASSIGN(listed, listed_block(left));
      left -= listed.size;
      list.push_back(std::move(listed));
      if (list.size() > kMostBlocks) return fail(Code::kLimit, "more RAM blocks than there may be", at);
    }
    return begin(list, at);
  }

  Result<Listed> listed_block(std::uint64_t left) {
    Listed listed;
    listed.at = stream_.offset();
    SNAP_TRY_ASSIGN(name, short_text());
    SNAP_TRY_ASSIGN(size, stream_.take_be64(kEnds));
    if (name.empty() || metadata_text(name) != name) return corrupt(listed.at, "a RAM block whose name is no text");
    if (size == 0 || size % kPageBytes != 0) return corrupt(listed.at, "a RAM block that is no whole pages", size);
    if (size > left) return corrupt(listed.at, "a RAM block larger than all RAM blocks together", size);
    listed.name = std::move(name);
    listed.size = size;
    return listed;
  }

  Result<void> begin(const std::vector<Listed>& list, std::uint64_t at) {
    if (list.empty()) return corrupt(at, "an empty list of RAM blocks");
    for (std::size_t i = 0; i < list.size(); ++i) {
      const bool twice = std::any_of(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(i),
                                     [&](const Listed& other) { return other.name == list[i].name; });
      if (twice) return corrupt(list[i].at, "two RAM blocks of one name");
    }
    SNAP_TRY(describe());
    const bool has_vga = std::any_of(list.begin(), list.end(), [](const Listed& block) { return is_vga_memory(block.name); });
    const std::size_t main = main_block(list);
    for (std::size_t i = 0; i < list.size(); ++i) {
      RegionInfo info;
      info.name = list[i].name;
      info.size = list[i].size;
      if (i == main) info.placements = guest_layout(machine(), info.size, has_vga);
      SNAP_TRY(intake_.add_block(std::move(info)));
    }
    return {};
  }

  /// With a memory backend it has the backend's name.
  static std::size_t main_block(const std::vector<Listed>& list) {
    std::size_t largest = 0;
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (list[i].name == kMainRamName) return i;
      if (list[i].size > list[largest].size) largest = i;
    }
    return largest;
  }

  const std::string& machine() const { return options_.machine.empty() ? head_.machine : options_.machine; }

  Result<void> describe() {
    if (!head_.machine.empty()) SNAP_TRY(writer_.set_metadata(kMachineKey, head_.machine));
    SNAP_TRY(writer_.set_metadata("qemu.container", std::to_string(kQemuVersion)));
    SNAP_TRY(writer_.set_metadata("qemu.ram.version", std::to_string(kQemuRamVersion)));
    return writer_.set_metadata(kQemuRamSectionKey, std::to_string(*ram_id_));
  }

  // ---- mapped-ram: the pages stand in the list, each block's behind its entry ----

  Result<void> mapped_blocks(std::uint64_t total, std::uint64_t at);
  Result<void> mapped_pages(std::uint64_t size, std::uint64_t at);

  // ---- Devices ----

  Result<void> devices() {
    const std::uint64_t at = stream_.offset();
    Bytes bytes;
    SNAP_TRY(stream_.take_rest(bytes, kMaxDeviceStateBytes, "more device state than 512 MiB"));
    const auto description = find_description(bytes);
    // Sections tell no length, so that the description is there whole says that nothing is cut off. Machine types that write none end
    // with 00.
    if (!description && (head_.has_configuration || bytes.back() != std::byte{kQemuEof})) return truncated(at + bytes.size(), kNoEnd);
    const std::string runstate = runstate_of(bytes);
    SNAP_TRY(write_state(writer_, kQemuDevicesState, bytes));
    return runstate.empty() ? Result<void>() : writer_.set_metadata(kQemuRunstateKey, runstate);
  }

  Result<std::string> short_text() {
    SNAP_TRY_ASSIGN(length, stream_.take_byte(kEnds));
    SNAP_TRY_ASSIGN(bytes, stream_.take(length, kEnds));
    return std::string(text_of({bytes, length}));
  }

  ForwardStream& stream_;
  Writer& writer_;
  const ImportOptions& options_;
  RamIntake intake_;
  QemuHead head_;
  std::optional<std::uint32_t> ram_id_;
  std::optional<std::uint32_t> bitmap_id_;
  std::optional<std::size_t> block_;  ///< of the record before
  std::array<std::byte, kPageBytes> page_{};
};

Result<void> QemuImport::mapped_blocks(std::uint64_t total, std::uint64_t at) {
  SNAP_TRY(describe());
  for (std::uint64_t left = total; left != 0;) {
    SNAP_TRY_ASSIGN(listed, listed_block(left));
    left -= listed.size;
    if (intake_.block_count() == kMostBlocks) return fail(Code::kLimit, "more RAM blocks than there may be", at);
    for (std::size_t i = 0; i < intake_.block_count(); ++i) {
      if (intake_.block(i).name == listed.name) return corrupt(listed.at, "two RAM blocks of one name");
    }
    RegionInfo info;
    info.name = listed.name;
    info.size = listed.size;
    // The largest block comes first. Whether there is a VGA shows later, so its window counts as hidden.
    if (intake_.block_count() == 0) info.placements = guest_layout(machine(), info.size, true);
    SNAP_TRY(intake_.add_block(std::move(info)));
    SNAP_TRY(mapped_pages(listed.size, listed.at));
  }
  return {};
}

Result<void> QemuImport::mapped_pages(std::uint64_t size, std::uint64_t at) {
  SNAP_TRY_ASSIGN(header, stream_.take(kMappedHeaderBytes, kEnds));
  const std::uint32_t version = load_be32(header);
  const std::uint64_t page_bytes = load_be64(header + 4);
  const std::uint64_t bitmap_at = load_be64(header + 12);
  const std::uint64_t pages_at = load_be64(header + 20);
  if (version != kMappedVersion) return unsupported(at, "a mapped-ram header of this version", version);
  if (page_bytes != kPageBytes) return unsupported(at, "mapped-ram pages that are not of 4 KiB", page_bytes);
  const std::uint64_t pages = size / kPageBytes;
  const std::uint64_t bitmap_bytes = ceil_div(pages, 64) * 8;
  const std::uint64_t here = stream_.offset();
  if (bitmap_at < here || bitmap_at - here > kMappedPagesAlign) return corrupt(at, "a mapped-ram bitmap out of its place", bitmap_at);
  if (pages_at < bitmap_at || pages_at - bitmap_at < bitmap_bytes) return corrupt(at, "mapped-ram pages that lie over their bitmap", pages_at);
  if (pages_at % kPageBytes != 0 || pages_at - bitmap_at - bitmap_bytes > kMappedPagesAlign) {
    return corrupt(at, "mapped-ram pages out of their place", pages_at);
  }
  SNAP_TRY(stream_.skip(bitmap_at - here, kEnds));
  // Grows with what is there, not with what is announced.
  Bytes bitmap;
  while (bitmap.size() < bitmap_bytes) {
    const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(ForwardStream::kBufferBytes, bitmap_bytes - bitmap.size()));
    SNAP_TRY_ASSIGN(bytes, stream_.take(piece, kEnds));
    append(bitmap, {bytes, piece});
  }
  SNAP_TRY(stream_.skip(pages_at - stream_.offset(), kEnds));
  const std::size_t block = intake_.block_count() - 1;
  std::uint64_t next = 0;
  for (std::uint64_t page = 0; page < pages; ++page) {
    if ((bitmap[page / 8] >> page % 8 & std::byte{1}) == std::byte{0}) continue;
    SNAP_TRY(stream_.skip((page - next) * kPageBytes, kEnds));
    SNAP_TRY_ASSIGN(bytes, stream_.take(kPageBytes, kEnds));
    SNAP_TRY(intake_.page(block, page, {bytes, kPageBytes}));
    next = page + 1;
  }
  return stream_.skip(size - next * kPageBytes, kEnds);
}

}  // namespace

Result<Imported> import_qemu_stream(ForwardStream& stream, Writer& writer, const ImportOptions& options) {
  return QemuImport(stream, writer, options).run();
}

Result<Imported> import_qemu(ByteSource& source, Writer& writer, const ImportOptions& options) {
  SNAP_TRY(writer.set_metadata("source.format", format_name(Format::kQemu)));
  return with_unwrapped(source, writer, options,
                        [&](ForwardStream& stream) { return import_qemu_stream(stream, writer, options); });
}

}  // namespace snap
