// SPDX-License-Identifier: Apache-2.0
#include "vmm/direct_map.h"

#include <algorithm>
#include <array>

#include "base/fail.h"
#include "format/wire.h"
#include "vmm/vmcoreinfo.h"

namespace snap {
namespace {

constexpr std::uint64_t kPresent = 1;
constexpr std::uint64_t kLarge = 1u << 7;
constexpr std::uint64_t kAddress = 0x000ffffffffff000;
constexpr std::uint64_t kGiB = 1u << 30;
constexpr unsigned kLowerHalf = 256;  // entries of the topmost table

struct Mapped {
  std::uint64_t virtual_address = 0;
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
};

/// Page tables of four or five levels (Intel SDM volume 3, 4.5).
class PageTables {
 public:
  PageTables(Reader& reader, std::span<const PhysicalRange> ranges, std::uint64_t root, unsigned levels)
      : reader_(reader), ranges_(ranges), root_(root), levels_(levels) {}

  /// The page at a virtual address; without one, the kernel's lowest.
  Result<std::optional<Mapped>> find(std::optional<std::uint64_t> wanted) {
    std::uint64_t virtual_address = ~std::uint64_t{0} << (12 + 9 * levels_);
    std::uint64_t at = root_;
    for (unsigned level = levels_; level-- > 0;) {
      SNAP_TRY_ASSIGN(readable, read(at));
      if (!readable) return std::optional<Mapped>();
      const unsigned shift = 12 + 9 * level;
      std::size_t i = wanted ? *wanted >> shift & 511 : level == levels_ - 1 ? kLowerHalf : 0;
      while (!wanted && i < 511 && (table_[i] & kPresent) == 0) ++i;
      const std::uint64_t entry = table_[i];
      if ((entry & kPresent) == 0) return std::optional<Mapped>();
      virtual_address |= std::uint64_t{i} << shift;
      at = entry & kAddress;
      if (level == 0 || (level <= 2 && (entry & kLarge) != 0)) {
        const std::uint64_t bytes = std::uint64_t{1} << shift;
        return std::optional(Mapped{virtual_address, at & ~(bytes - 1), bytes});
      }
    }
    return std::optional<Mapped>();
  }

 private:
  /// False where the guest has no memory there.
  Result<bool> read(std::uint64_t at) {
    for (const PhysicalRange& range : ranges_) {
      if (at < range.guest_address || at - range.guest_address >= range.length || range.length - (at - range.guest_address) < sizeof table_) continue;
      SNAP_TRY(reader_.read(range.region, range.offset + (at - range.guest_address), std::as_writable_bytes(std::span(table_))));
      return true;
    }
    return false;
  }

  Reader& reader_;
  std::span<const PhysicalRange> ranges_;
  std::uint64_t root_;
  unsigned levels_;
  std::array<wire::le64, 512> table_{};
};

}  // namespace

Result<std::optional<std::uint64_t>> direct_map(Reader& reader, std::string_view text, const KernelImage& image, std::span<const PhysicalRange> ranges) {
  constexpr std::optional<std::uint64_t> kUnknown;
  const auto top = vmcoreinfo_symbol(text, "swapper_pg_dir");
  if (!top || *top % kPageBytes != 0 || *top < image.virtual_address || *top - image.virtual_address >= image.memory.length) return kUnknown;
  const std::uint64_t root = image.memory.guest_address + (*top - image.virtual_address);
  PageTables tables(reader, ranges, root, vmcoreinfo_number(text, "pgtable_l5_enabled").value_or(0) == 1 ? 5 : 4);
  // It is the lowest that the kernel maps, and begins with the memory's first byte.
  SNAP_TRY_ASSIGN(lowest, tables.find(std::nullopt));
  if (!lowest) return kUnknown;
  const std::uint64_t base = lowest->virtual_address - lowest->address;
  if (base % kGiB != 0 || base > lowest->virtual_address || base >= image.virtual_address) return kUnknown;
  const std::uint64_t room = image.virtual_address - base;
  const auto fits = [&](const PhysicalRange& range) { return range.guest_address < room && range.length <= room - range.guest_address; };
  if (!std::all_of(ranges.begin(), ranges.end(), fits)) return kUnknown;
  // It shows the tables themselves as well, or it is something else.
  SNAP_TRY_ASSIGN(shown, tables.find(base + root));
  const bool same = shown && root >= shown->address && root - shown->address < shown->bytes && shown->virtual_address - shown->address == base;
  return same ? std::optional(base) : kUnknown;
}

}  // namespace snap
