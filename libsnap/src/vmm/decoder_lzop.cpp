// SPDX-License-Identifier: Apache-2.0
// The files of lzop 1.x, whose blocks are liblzo2's. All integers are big-endian:
//
//   magic, be16 version, be16 of the library, [be16 version needed], u8 method, [u8 level], be32 flags, [be32 filter], be32 mode,
//   be32 time, [be32 time], u8 n, n bytes of name, be32 checksum of all behind the magic, [be32 n, n bytes, be32 checksum]
//   block = be32 size, be32 stored size, checksums of the content, [checksums of what is stored, where that is smaller], the bytes
//   end   = be32 0
#include <lzo/lzo1x.h>
#include <zlib.h>

#include <algorithm>

#include "vmm/decoder.h"
#include "vmm/decoders.h"
#include "vmm/decompress.h"

namespace snap {
namespace {

constexpr const char* kEnds = "the lzop data ends early";
constexpr std::string_view kMagic("\x89LZO\0\r\n\x1a\n", 9);
constexpr std::uint16_t kOldestVersion = 0x0900, kNewestNeeded = 0x1040;
constexpr std::uint16_t kLongHeader = 0x0940;  // from here on with what is in [] above
constexpr std::uint8_t kMostMethod = 3;        // LZO1X-1, LZO1X-1(15), LZO1X-999: one decoder
constexpr std::uint32_t kMostExtra = 64 * 1024;

enum Flag : std::uint32_t {
  kAdlerContent = 0x1,
  kAdlerStored = 0x2,
  kExtraField = 0x40,
  kCrcContent = 0x100,
  kCrcStored = 0x200,
  kMultipart = 0x400,
  kFilter = 0x800,
  kHeaderCrc = 0x1000,
};

std::uint32_t adler(std::span<const std::byte> bytes) {
  return static_cast<std::uint32_t>(::adler32(1, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}
std::uint32_t crc(std::span<const std::byte> bytes) {
  return static_cast<std::uint32_t>(::crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

class LzopDecoder final : public Decoder {
 public:
  using Decoder::Decoder;

 private:
  // ---- Header ----

  Result<void> begin() override {
    const std::uint64_t at = in().offset();
    header_.clear();
    SNAP_TRY_ASSIGN(magic, in().take(kMagic.size(), kEnds));
    if (text_of({magic, kMagic.size()}) != kMagic) return corrupt(at, "not lzop data here");
    SNAP_TRY_ASSIGN(version, number<std::uint16_t>());
    if (version < kOldestVersion) return unsupported(at, "lzop data of this version", version);
    const bool is_long = version >= kLongHeader;
    SNAP_TRY(number<std::uint16_t>());
    if (is_long) {
      SNAP_TRY_ASSIGN(needed, number<std::uint16_t>());
      if (needed < kOldestVersion || needed > kNewestNeeded) return unsupported(at, "lzop data of this version", needed);
    }
    SNAP_TRY_ASSIGN(method, number<std::uint8_t>());
    if (method == 0 || method > kMostMethod) return unsupported(at, "a compression method of lzop that is not known", method);
    if (is_long) SNAP_TRY(number<std::uint8_t>());
    SNAP_TRY_ASSIGN(flags, number<std::uint32_t>());
    if ((flags & (kMultipart | kFilter)) != 0) return unsupported(at, "lzop data in parts or with a filter", flags);
    flags_ = flags;
    SNAP_TRY(number<std::uint32_t>());
    SNAP_TRY(number<std::uint32_t>());
    if (is_long) SNAP_TRY(number<std::uint32_t>());
    SNAP_TRY_ASSIGN(name_length, number<std::uint8_t>());
    SNAP_TRY(keep(name_length));
    SNAP_TRY(header_check(at));
    return (flags & kExtraField) != 0 ? extra_field() : Result<void>();
  }

  Result<void> extra_field() {
    const std::uint64_t at = in().offset();
    header_.clear();
    SNAP_TRY_ASSIGN(length, number<std::uint32_t>());
    if (length > kMostExtra) return corrupt(at, "an extra field of lzop that is too large", length);
    SNAP_TRY(keep(length));
    return header_check(at);
  }
  Result<void> header_check(std::uint64_t at) {
    SNAP_TRY_ASSIGN(told, in().take_be32(kEnds));
    const std::uint32_t is = (flags_ & kHeaderCrc) != 0 ? crc(header_) : adler(header_);
    return told == is ? Result<void>() : corrupt(at, "the checksum of an lzop header is wrong");
  }

  Result<const std::byte*> keep(std::size_t count) {
    SNAP_TRY_ASSIGN(bytes, in().take(count, kEnds));
    append(header_, {bytes, count});
    return bytes;
  }
  template <typename Host>
  Result<Host> number() {
    SNAP_TRY_ASSIGN(bytes, keep(sizeof(Host)));
    return load_be<Host>(bytes);
  }

  // ---- Blocks ----

  Result<std::size_t> decode(std::span<std::byte> out) override {
    if (given_ == block_.size()) {
      SNAP_TRY_ASSIGN(another, next_block());
      if (!another) return end_member(), std::size_t{0};
    }
    const std::size_t count = std::min(out.size(), block_.size() - given_);
    std::copy_n(block_.begin() + static_cast<std::ptrdiff_t>(given_), count, out.begin());
    given_ += count;
    return count;
  }

  Result<std::optional<std::uint32_t>> check_if(std::uint32_t flag) {
    if ((flags_ & flag) == 0) return std::optional<std::uint32_t>();
    SNAP_TRY_ASSIGN(told, in().take_be32(kEnds));
    return std::optional(told);
  }

  Result<bool> next_block() {
    const std::uint64_t at = in().offset();
    given_ = 0;
    block_.clear();
    SNAP_TRY_ASSIGN(size, in().take_be32(kEnds));
    if (size == 0) return false;
    SNAP_TRY_ASSIGN(stored_size, in().take_be32(kEnds));
    if (size > kMostLzopBlock) return fail(Code::kLimit, "an lzop block of more than 1 MiB", at, size);
    if (stored_size == 0 || stored_size > size) return corrupt(at, "an lzop block that is larger than its content", stored_size);
    SNAP_TRY_ASSIGN(content_adler, check_if(kAdlerContent));
    SNAP_TRY_ASSIGN(content_crc, check_if(kCrcContent));
    const bool plain = stored_size == size;
    std::optional<std::uint32_t> stored_adler, stored_crc;
    if (!plain) {
      SNAP_TRY_ASSIGN(told_adler, check_if(kAdlerStored));
      SNAP_TRY_ASSIGN(told_crc, check_if(kCrcStored));
      stored_adler = told_adler;
      stored_crc = told_crc;
    }
    stored_.resize(stored_size);
    SNAP_TRY(in().take_into(stored_, kEnds));
    SNAP_TRY(verify(stored_, stored_adler, stored_crc, at));
    if (plain) {
      block_.swap(stored_);
    } else {
      SNAP_TRY(decompress(size, at));
    }
    SNAP_TRY(verify(block_, content_adler, content_crc, at));
    return true;
  }

  Result<void> decompress(std::uint32_t size, std::uint64_t at) {
    block_.resize(size);
    lzo_uint made = size;
    const int status = ::lzo1x_decompress_safe(reinterpret_cast<const unsigned char*>(stored_.data()), stored_.size(),
                                               reinterpret_cast<unsigned char*>(block_.data()), &made, nullptr);
    return status == LZO_E_OK && made == size ? Result<void>() : corrupt(at, "an lzop block is damaged");
  }
  static Result<void> verify(std::span<const std::byte> bytes, std::optional<std::uint32_t> told_adler,
                             std::optional<std::uint32_t> told_crc, std::uint64_t at) {
    if ((told_adler && *told_adler != adler(bytes)) || (told_crc && *told_crc != crc(bytes))) {
      return corrupt(at, "the checksum of an lzop block is wrong");
    }
    return {};
  }

  std::uint32_t flags_ = 0;
  Bytes header_;  // what its checksum is of
  Bytes stored_, block_;
  std::size_t given_ = 0;  // bytes of the block passed on
};

}  // namespace

std::unique_ptr<ByteSource> lzop_decoder(ForwardStream& in) { return std::make_unique<LzopDecoder>(in); }

}  // namespace snap
