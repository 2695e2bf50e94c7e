// SPDX-License-Identifier: Apache-2.0
// XBZRLE: what changed in a page since an older one, as QEMU's live migration sends it.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#pragma GCC visibility push(default)
namespace snap {

// A delta is pairs of runs until all that changed is said. Each pair is the length of a run of equal bytes, the length of a run
// of changed bytes, and those bytes as they are now. A length is ULEB128 of one or two bytes, so at most kXbzrleMaxRun. Only the
// first run of equal bytes may be empty, and the last one is left out: equal pages have an empty delta.

/// The longest run there is a length for.
inline constexpr std::size_t kXbzrleMaxRun = 0x3FFF;

/// Room in which the delta of a page of that many bytes always fits: at worst every other byte changed, and two become three.
constexpr std::size_t xbzrle_bound(std::size_t page_bytes) { return page_bytes + page_bytes / 2 + 6; }

/// Writes to `out` what makes `old_page` into `new_page`, the same bytes as QEMU does, and answers how many; 0 where the pages
/// are equal. Nothing where the delta does not fit: `out` ends too early (before each pair, and while bytes of the page are left,
/// two bytes have to be free, as in QEMU's portable encoder), or a run is longer than kXbzrleMaxRun (QEMU ends there), or the
/// pages are not of one size. Any size and alignment will do. What of `out` is not part of the answer may be overwritten. Any
/// thread; allocates nothing.
std::optional<std::size_t> xbzrle_encode(std::span<const std::byte> old_page, std::span<const std::byte> new_page,
                                         std::span<std::byte> out) noexcept;

/// Makes the old page in `page` into the new one. Writes nothing outside `page`, whatever `delta` holds. False for what QEMU
/// refuses: a delta that ends within a pair or in its lengths, a length of more than two bytes, an empty run of changed bytes,
/// one of equal bytes that is empty and not the first, runs that leave the page. By then the pairs before may have been written.
/// A length may take two bytes where one would do. Any thread; allocates nothing. `delta` and `page` do not overlap.
bool xbzrle_decode(std::span<const std::byte> delta, std::span<std::byte> page) noexcept;

/// The same code for several kinds of processors: all give the same answers. For tests and benchmarks; the functions above
/// take the last that is there.
enum class XbzrleVersion { kPortable, kAvx2, kAvx512 };
bool xbzrle_has(XbzrleVersion version) noexcept;
/// kPortable's answer where the version is not there.
std::optional<std::size_t> xbzrle_encode(XbzrleVersion version, std::span<const std::byte> old_page,
                                         std::span<const std::byte> new_page, std::span<std::byte> out) noexcept;
bool xbzrle_decode(XbzrleVersion version, std::span<const std::byte> delta, std::span<std::byte> page) noexcept;

}  // namespace snap
#pragma GCC visibility pop
