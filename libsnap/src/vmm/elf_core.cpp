// SPDX-License-Identifier: Apache-2.0
#include "vmm/elf_core.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "base/bytes.h"
#include "base/fail.h"
#include "vmm/ram_intake.h"

namespace snap {
namespace {

using elf::Load;

constexpr std::uint32_t kMostSegments = 1u << 20;
constexpr std::size_t kMostLoads = std::size_t{64} * 2048;
constexpr std::size_t kSegmentsAtOnce = 1024;

struct Narrow {
  using Header = elf::Header32;
  using Segment = elf::Segment32;
  using Section = elf::Section32;
};
struct Wide {
  using Header = elf::Header64;
  using Segment = elf::Segment64;
  using Section = elf::Section64;
};

template <typename Wire>
Result<Wire> read_one(const ReadCore& read, std::uint64_t at) {
  Bytes bytes(sizeof(Wire));
  SNAP_TRY(read(at, bytes));
  Wire wire;
  std::memcpy(&wire, bytes.data(), sizeof wire);
  return wire;
}

/// Of two stretches that follow each other or overlap in the file as they do in the memory, the first becomes both. (QEMU's dumps with
/// paging show the same memory many times. Where only one of the two has a byte in the file, the file's counts.)
bool joined(Load& first, const Load& second) {
  const bool touch = first.there != 0 && second.there != 0 && second.at - first.at <= first.there;
  if (!touch || second.address - first.address != second.at - first.at) return false;
  first.there = std::max(first.there, second.at - first.at + second.there);
  first.bytes = std::max(first.bytes, second.at - first.at + second.bytes);
  return true;
}

template <typename Kind>
class CoreParser {
 public:
  explicit CoreParser(const ReadCore& read) : read_(read) {}

  Result<ElfCore> run() {
    SNAP_TRY_ASSIGN(header, read_one<typename Kind::Header>(read_, 0));
    if (header.type != elf::kCore) return unsupported(16, "an ELF file that is no core", header.type);
    core_.machine = header.machine;
    core_.flags = header.flags;
    SNAP_TRY_ASSIGN(count, segment_count(header));
    if (count != 0 && header.segment_bytes != sizeof(typename Kind::Segment)) {
      return corrupt(0, "program headers of an illegal size in the ELF core", header.segment_bytes);
    }
    SNAP_TRY(segments(header.segments_at, count));
    return check();
  }

 private:
  Result<std::uint32_t> segment_count(const typename Kind::Header& header) {
    if (header.segment_count != elf::kCountElsewhere) return std::uint32_t{header.segment_count};
    if (header.sections_at == 0 || header.section_bytes != sizeof(typename Kind::Section)) {
      return corrupt(0, "an ELF core that does not tell the number of its segments");
    }
    SNAP_TRY_ASSIGN(first, read_one<typename Kind::Section>(read_, header.sections_at));
    if (first.info > kMostSegments) return fail(Code::kLimit, "more segments in the ELF core than there may be", header.sections_at, first.info);
    return std::uint32_t{first.info};
  }

  Result<void> segments(std::uint64_t at, std::uint32_t count) {
    using Segment = typename Kind::Segment;
    if (at > ~std::uint64_t{0} - std::uint64_t{count} * sizeof(Segment)) return corrupt(0, "program headers past the end of all addresses", at);
    Bytes table;
    for (std::uint32_t done = 0; done < count;) {
      const std::size_t now = std::min<std::size_t>(kSegmentsAtOnce, count - done);
      table.resize(now * sizeof(Segment));
      const std::uint64_t table_at = at + std::uint64_t{done} * sizeof(Segment);
      SNAP_TRY(read_(table_at, table));
      for (std::size_t i = 0; i < now; ++i) {
        Segment segment;
        std::memcpy(&segment, &table[i * sizeof segment], sizeof segment);
        SNAP_TRY(take(segment, table_at + i * sizeof segment));
      }
      done += static_cast<std::uint32_t>(now);
    }
    return {};
  }

  Result<void> take(const typename Kind::Segment& segment, std::uint64_t at) {
    const Load load{segment.physical_address, segment.memory_bytes, segment.offset, segment.file_bytes};
    if (segment.type != elf::kLoad && segment.type != elf::kNote) return {};
    if (load.there > ~std::uint64_t{0} - load.at) return corrupt(at, "a segment past the end of all files", load.at);
    if (segment.type == elf::kNote) {
      if (load.there > elf::kMaxNotesBytes - notes_bytes_) return fail(Code::kLimit, "more notes in the ELF core than 64 MiB", at, load.there);
      notes_bytes_ += load.there;
      if (load.there != 0) core_.notes.push_back(load);
      return {};
    }
    if (load.there > load.bytes) return corrupt(at, "a segment with more bytes in the file than in the memory", load.there);
    if (load.bytes == 0) return {};
    if (load.bytes - 1 > ~std::uint64_t{0} - load.address) return corrupt(at, "a segment past the end of all addresses", load.address);
    if (load.bytes > kMaxRamBytes) return fail(Code::kLimit, "more memory than 8 TiB", at, load.bytes);
    has_address_ |= load.address != 0;
    core_.loads.push_back(load);
    return {};
  }

  Result<ElfCore> check() {
    std::vector<Load>& loads = core_.loads;
    if (loads.empty()) return fail(Code::kNotFound, "the ELF core has no memory");
    const auto by_place = [](const Load& a, const Load& b) { return a.at < b.at; };
    std::stable_sort(core_.notes.begin(), core_.notes.end(), by_place);
    // What may be joined comes together, whatever lies between.
    std::stable_sort(loads.begin(), loads.end(), [](const Load& a, const Load& b) {
      const auto shift = [](const Load& load) { return std::tuple(load.there == 0, load.address - load.at, load.at); };
      return shift(a) < shift(b);
    });
    std::size_t kept = 0;
    for (std::size_t i = 1; i < loads.size(); ++i) {
      if (!joined(loads[kept], loads[i])) loads[++kept] = loads[i];
    }
    loads.resize(kept + 1);
    if (loads.size() > 1 && !has_address_) return unsupported(0, "a core without physical addresses: of a process, not of a guest");
    std::stable_sort(loads.begin(), loads.end(), by_place);
    if (loads.size() > kMostLoads) return fail(Code::kLimit, "more stretches of memory in the ELF core than there may be", 0, loads.size());
    std::uint64_t total = 0;
    for (const Load& load : loads) {
      if (load.bytes > kMaxRamBytes - total) return fail(Code::kLimit, "more memory than 8 TiB", 0, load.bytes);
      total += load.bytes;
    }
    core_.one_pass = disjoint();
    return std::move(core_);
  }

  bool disjoint() const {
    std::vector<Load> all = core_.notes;
    all.insert(all.end(), core_.loads.begin(), core_.loads.end());
    std::erase_if(all, [](const Load& load) { return load.there == 0; });
    std::sort(all.begin(), all.end(), [](const Load& a, const Load& b) { return a.at < b.at; });
    return std::adjacent_find(all.begin(), all.end(), [](const Load& a, const Load& b) { return b.at - a.at < a.there; }) == all.end();
  }

  const ReadCore& read_;
  ElfCore core_;
  std::uint64_t notes_bytes_ = 0;
  bool has_address_ = false;
};

}  // namespace

Result<ElfCore> parse_elf_core(const ReadCore& read) {
  SNAP_TRY_ASSIGN(ident, read_one<elf::Ident>(read, 0));
  if (std::memcmp(ident.magic, "\x7f" "ELF", 4) != 0) return corrupt(0, "not an ELF file");
  if (ident.data != elf::kLittleEndian) return unsupported(5, "an ELF core that is not little-endian", ident.data);
  if (ident.word_size == elf::kClass64) return CoreParser<Wide>(read).run();
  if (ident.word_size != elf::kClass32) return corrupt(4, "an ELF core of an unknown class", ident.word_size);
  SNAP_TRY_ASSIGN(core, CoreParser<Narrow>(read).run());
  core.wide = false;
  return core;
}

}  // namespace snap
