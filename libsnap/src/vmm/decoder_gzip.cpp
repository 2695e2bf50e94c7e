// SPDX-License-Identifier: Apache-2.0
// gzip, RFC 1952: the header is parsed here, the rest is ISA-L's.
#include <isa-l.h>
#include <zlib.h>

#include <algorithm>

#include "vmm/decoder.h"
#include "vmm/decoders.h"

namespace snap {
namespace {

constexpr const char* kEnds = "the gzip data ends early";
constexpr std::size_t kMostReadAhead = 8;  // bytes that ISA-L may hold of what follows a member

enum Flag : std::uint8_t { kHeaderCrc = 2, kExtra = 4, kName = 8, kComment = 16, kReserved = 0xe0 };

class GzipDecoder final : public Decoder {
 public:
  using Decoder::Decoder;

 private:
  Result<void> begin() override {
    crc_ = 0;
    const std::uint64_t at = in().offset();
    SNAP_TRY_ASSIGN(head, take(10));
    const auto flags = std::to_integer<std::uint8_t>(head[3]);
    if (head[0] != std::byte{0x1f} || head[1] != std::byte{0x8b}) return corrupt(at, "not gzip data here");
    if (head[2] != std::byte{8} || (flags & kReserved) != 0) return unsupported(at, "gzip data of an unknown kind", flags);
    if ((flags & kExtra) != 0) {
      SNAP_TRY_ASSIGN(length, take(2));
      SNAP_TRY(take(std::to_integer<std::size_t>(length[0]) | std::to_integer<std::size_t>(length[1]) << 8));
    }
    if ((flags & kName) != 0) SNAP_TRY(text());
    if ((flags & kComment) != 0) SNAP_TRY(text());
    if ((flags & kHeaderCrc) != 0) SNAP_TRY(header_crc(at));
    isal_inflate_init(&state_);
    state_.crc_flag = ISAL_GZIP_NO_HDR_VER;
    given_ = 0;
    return {};
  }

  Result<std::span<const std::byte>> take(std::size_t count) {
    SNAP_TRY_ASSIGN(bytes, in().take(count, kEnds));
    crc_ = ::crc32(crc_, reinterpret_cast<const Bytef*>(bytes), static_cast<uInt>(count));
    return std::span(bytes, count);
  }
  Result<void> text() {
    while (true) {
      SNAP_TRY_ASSIGN(byte, take(1));
      if (byte[0] == std::byte{0}) return {};
    }
  }
  Result<void> header_crc(std::uint64_t at) {
    const auto want = static_cast<std::uint16_t>(crc_);
    SNAP_TRY_ASSIGN(told, take(2));
    const unsigned value = std::to_integer<unsigned>(told[0]) | std::to_integer<unsigned>(told[1]) << 8;
    return value == want ? Result<void>() : corrupt(at, "the checksum of a gzip header is wrong");
  }

  // What ISA-L was given last stays in the buffer: it reads ahead, and the next member may begin there.
  Result<std::size_t> decode(std::span<std::byte> out) override {
    SNAP_TRY_ASSIGN(bytes, in().look_around(given_ + 1));
    const auto fresh = bytes.subspan(given_);
    state_.next_in = reinterpret_cast<std::uint8_t*>(const_cast<std::byte*>(fresh.data()));  // ISA-L only reads it
    state_.avail_in = static_cast<std::uint32_t>(fresh.size());
    state_.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    state_.avail_out = static_cast<std::uint32_t>(out.size());
    const int status = isal_inflate(&state_);
    const std::size_t made = out.size() - state_.avail_out;
    const std::size_t used = fresh.size() - state_.avail_in;
    // What ISA-L has left of its input is not exact once it found an error.
    const std::uint64_t at = in().offset() + std::min(given_ + used, bytes.size());
    if (status == ISAL_INCORRECT_CHECKSUM) return corrupt(at, "the checksum of the gzip data is wrong");
    if (status < 0 || status == ISAL_NEED_DICT) return corrupt(at, "the gzip data is damaged");
    const bool ended = state_.block_state == ISAL_BLOCK_FINISH;
    const std::size_t ahead = static_cast<std::size_t>(state_.read_in_length) / 8;
    const std::size_t held = std::min(given_ + used, ended ? ahead : kMostReadAhead);
    SNAP_TRY(in().skip(given_ + used - held, kEnds));
    given_ = ended ? 0 : held;
    if (ended) {
      end_member();
    } else if (made == 0 && used == 0) {
      return fresh.empty() ? truncated(at, kEnds) : corrupt(at, "the gzip data is damaged");
    }
    return made;
  }

  inflate_state state_;
  std::size_t given_ = 0;  // bytes at the front of the input that ISA-L has
  uLong crc_ = 0;
};

}  // namespace

std::unique_ptr<ByteSource> gzip_decoder(ForwardStream& in) { return std::make_unique<GzipDecoder>(in); }

}  // namespace snap
