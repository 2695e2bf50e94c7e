// SPDX-License-Identifier: Apache-2.0
// The container's structures as bytes. SPEC.md says what each field may hold; nothing here checks anything.
// Copy a structure out of a buffer with memcpy; never cast a pointer into one.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace snap::wire {

/// An unsigned little-endian integer of alignment 1.
template <typename Host>
class Le {
 public:
  Le() = default;
  Le(Host value) { *this = value; }  // NOLINT(google-explicit-constructor): a number is what this is
  Le& operator=(Host value) {
    if constexpr (std::endian::native == std::endian::big) value = swap(value);
    std::memcpy(bytes_, &value, sizeof value);
    return *this;
  }
  operator Host() const {  // NOLINT(google-explicit-constructor)
    Host value;
    std::memcpy(&value, bytes_, sizeof value);
    if constexpr (std::endian::native == std::endian::big) value = swap(value);
    return value;
  }

 private:
  static Host swap(Host value) {
    if constexpr (sizeof(Host) == 2) return __builtin_bswap16(value);
    if constexpr (sizeof(Host) == 4) return __builtin_bswap32(value);
    if constexpr (sizeof(Host) == 8) return __builtin_bswap64(value);
  }
  unsigned char bytes_[sizeof(Host)];
};
using le16 = Le<std::uint16_t>;
using le32 = Le<std::uint32_t>;
using le64 = Le<std::uint64_t>;
struct Digest {
  unsigned char bytes[32];
};

inline constexpr unsigned char kHeaderMagic[8] = {0x89, 'V', 'M', 'S', 0x0D, 0x0A, 0x1A, 0x0A};
inline constexpr unsigned char kTrailerMagic[8] = {0x8A, 'V', 'M', 'S', 'E', 'N', 'D', 0x0A};
inline constexpr unsigned char kRecordMagic[4] = {'v', 'm', 's', 'r'};

struct Header {              // SPEC 4
  unsigned char magic[8];    // [ 0]
  le32 version;              // [ 8]
  le32 header_bytes;         // [12]
  le64 incompatible;         // [16]
  le64 read_compatible;      // [24]
  le64 compatible;           // [32]
  std::uint8_t block_log2;   // [40]
  std::uint8_t page_log2;    // [41]
  le16 parent_depth;         // [42]
  le32 copy_window;          // [44]
  le32 feature_names;        // [48]
  le32 zero;                 // [52]
  le64 check;                // [56] of all of the header but these 8 bytes
};
static_assert(sizeof(Header) == 64 && alignof(Header) == 1 && offsetof(Header, check) == 56);

struct FeatureName {  // SPEC 4
  std::uint8_t word;
  std::uint8_t bit;
  char name[46];
};
static_assert(sizeof(FeatureName) == 48);

enum : std::uint64_t { kIncompatibleParent = 1 };

enum RecordType : std::uint8_t {
  kRegion = 1,
  kBlock = 2,
  kNode = 3,
  kClose = 4,
  kMeta = 5,
  kSeal = 6,
  kCatalog = 7,
  kParent = 8,
  kFirstAncillary = 128,
  kWorkingSet = 132,
};

struct RecordHead {        // SPEC 5
  unsigned char magic[4];  // [ 0]
  std::uint8_t type;       // [ 4]
  std::uint8_t codec;      // [ 5]
  le16 region;             // [ 6]
  le32 body_bytes;         // [ 8]
  le32 aux;                // [12] BLOCK: pages; NODE: level
  le64 number;             // [16] BLOCK, NODE: its number; CLOSE: region size
  le64 body_check;         // [24]
  le64 prior;              // [32]
  le64 head_check;         // [40]
};
static_assert(sizeof(RecordHead) == 48 && alignof(RecordHead) == 1 && offsetof(RecordHead, head_check) == 40);

struct ParentBody {  // SPEC 12; the hint follows
  Digest digest;
  le16 hint_bytes;
};
static_assert(sizeof(ParentBody) == 34 && alignof(ParentBody) == 1);

struct RegionBody {  // SPEC 6; the name and the placements follow
  std::uint8_t kind;
  std::uint8_t guest_page_log2;
  le16 name_bytes;
  le32 placements;
  le64 announced_size;
};
static_assert(sizeof(RegionBody) == 16 && alignof(RegionBody) == 1);

struct Placement {  // SPEC 6
  le64 guest_address;
  le64 offset;
  le64 length;
};
static_assert(sizeof(Placement) == 24);

enum PageKind : std::uint8_t { kZero = 0, kSame = 1, kRaw = 2, kXor = 3, kCopy = 4 };
enum CodecId : std::uint8_t { kStore = 0, kLz4 = 1, kZstd = 2, kZstdOverParent = 3 };

/// A page number of 5 bytes, SPEC 7.
struct Le40 {
  unsigned char bytes[5];
  static Le40 of(std::uint64_t value) {
    Le40 to;
    for (unsigned i = 0; i < sizeof to.bytes; ++i) to.bytes[i] = static_cast<unsigned char>(value >> 8 * i);
    return to;
  }
  std::uint64_t value() const {
    std::uint64_t all = 0;
    for (unsigned i = 0; i < sizeof bytes; ++i) all |= std::uint64_t{bytes[i]} << 8 * i;
    return all;
  }
};

struct NodeEntry {  // SPEC 8
  le64 offset;
  le32 record_bytes;
  le64 head_check;
  Digest digest;
};
static_assert(sizeof(NodeEntry) == 52 && alignof(NodeEntry) == 1);
inline constexpr std::size_t kNodeBitmapBytes = 32;

struct CloseBody {  // SPEC 9
  le64 root_offset;
  le32 root_bytes;
  le64 root_check;
  le64 block_records;
  Digest digest;
};
static_assert(sizeof(CloseBody) == 60 && alignof(CloseBody) == 1);

struct MetaPair {  // SPEC 10; key and value follow
  le16 key_bytes;
  le32 value_bytes;
};
static_assert(sizeof(MetaPair) == 6);

inline constexpr unsigned char kWorkingSetMagic[8] = {0x8B, 'V', 'M', 'S', 'W', 'S', 'T', 0x0A};

struct WorkingSetBody {  // SPEC 10; the ranges and the tail follow
  le32 ranges;
};
static_assert(sizeof(WorkingSetBody) == 4);

struct WorkingSetRange {  // SPEC 10
  le16 region;
  Le40 first_page;
  Le40 pages;
};
static_assert(sizeof(WorkingSetRange) == 12 && alignof(WorkingSetRange) == 1);

struct WorkingSetTail {    // SPEC 10
  unsigned char magic[8];  // [ 0]
  le32 body_bytes;         // [ 8]
  le32 zero;               // [12]
};
static_assert(sizeof(WorkingSetTail) == 16 && alignof(WorkingSetTail) == 1);

struct SealBody {  // SPEC 10
  le32 regions;
  Digest digest;
};
static_assert(sizeof(SealBody) == 36);

struct CatalogBody {  // SPEC 10; region entries and metadata follow
  le32 regions;
  le32 meta_bytes;
  Digest digest;
};
static_assert(sizeof(CatalogBody) == 40);

struct Trailer {             // SPEC 14
  unsigned char magic[8];    // [ 0]
  le64 file_bytes;           // [ 8]
  le64 catalog_offset;       // [16]
  le32 catalog_bytes;        // [24]
  le32 zero;                 // [28]
  le64 catalog_check;        // [32]
  le64 header_check;         // [40]
  le64 records;              // [48]
  le64 check;                // [56] of bytes 0…55, seeded with the trailer's own offset
};
static_assert(sizeof(Trailer) == 64 && alignof(Trailer) == 1 && offsetof(Trailer, check) == 56);

}  // namespace snap::wire
