// SPDX-License-Identifier: Apache-2.0
#include "codec/codec.h"

#include <lz4.h>
#include <lz4hc.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "base/fail.h"
#include "snap/writer.h"

namespace snap {

namespace {

class StoreCompressor final : public Compressor {
 public:
  Result<std::size_t> compress(std::span<const std::byte>, std::span<std::byte>) override { return std::size_t{0}; }
};

constexpr int kLeastLz4Level = -100;

class Lz4Compressor final : public Compressor {
 public:
  explicit Lz4Compressor(int level) : level_(level), state_(level <= 1 ? LZ4_sizeofState() : LZ4_sizeofStateHC()) {}

  Result<std::size_t> compress(std::span<const std::byte> in, std::span<std::byte> out) override {
    const auto* from = reinterpret_cast<const char*>(in.data());
    auto* to = reinterpret_cast<char*>(out.data());
    const int in_bytes = static_cast<int>(in.size());
    const int out_bytes = static_cast<int>(out.size());
    const int stored = level_ <= 1 ? LZ4_compress_fast_extState(state_.data(), from, to, in_bytes, out_bytes, level_ < 0 ? 1 - level_ : 1)
                                   : LZ4_compress_HC_extStateHC(state_.data(), from, to, in_bytes, out_bytes, level_);
    if (stored <= 0 || static_cast<std::size_t>(stored) >= in.size()) return std::size_t{0};
    return static_cast<std::size_t>(stored);
  }

 private:
  int level_;
  std::vector<char> state_;
};

class ZstdCompressor final : public Compressor {
 public:
  explicit ZstdCompressor(int level) : level_(level), context_(ZSTD_createCCtx()) {
    if (context_ == nullptr) throw std::bad_alloc();
    ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, level_);
    ZSTD_CCtx_setParameter(context_, ZSTD_c_dictIDFlag, 0);
  }
  ~ZstdCompressor() override { ZSTD_freeCCtx(context_); }
  ZstdCompressor(const ZstdCompressor&) = delete;
  ZstdCompressor& operator=(const ZstdCompressor&) = delete;

  Result<std::size_t> compress(std::span<const std::byte> in, std::span<std::byte> out) override {
    // The one-call form writes the content size, no checksum and no dictionary id, as SPEC 7 asks.
    return smaller(ZSTD_compressCCtx(context_, out.data(), out.size(), in.data(), in.size(), level_), in.size());
  }

  Result<std::size_t> compress_over(std::span<const std::byte> dictionary, std::span<const std::byte> in, std::span<std::byte> out) override {
    if (ZSTD_isError(ZSTD_CCtx_refPrefix(context_, dictionary.data(), dictionary.size())) != 0) return fail(Code::kNoMemory, "no memory to compress");
    return smaller(ZSTD_compress2(context_, out.data(), out.size(), in.data(), in.size()), in.size());
  }

 private:
  static Result<std::size_t> smaller(std::size_t stored, std::size_t in_bytes) {
    if (ZSTD_isError(stored) != 0) {
      if (ZSTD_getErrorCode(stored) == ZSTD_error_memory_allocation) return fail(Code::kNoMemory, "no memory to compress");
      return std::size_t{0};
    }
    return stored < in_bytes ? stored : std::size_t{0};
  }

  int level_;
  ZSTD_CCtx* context_;
};

bool decompress_lz4(std::span<const std::byte> stored, std::span<std::byte> out) {
  return LZ4_decompress_safe(reinterpret_cast<const char*>(stored.data()), reinterpret_cast<char*>(out.data()),
                             static_cast<int>(stored.size()), static_cast<int>(out.size())) == static_cast<int>(out.size());
}

// One frame that says its size and has neither checksum nor dictionary id: the only form SPEC 7 allows. The library would
// also take skippable frames and those of its own early versions.
bool plain_zstd_frame(std::span<const std::byte> stored, std::size_t out_bytes) {
  static constexpr unsigned char magic[4] = {0x28, 0xB5, 0x2F, 0xFD};
  if (stored.size() < 5 || std::memcmp(stored.data(), magic, sizeof magic) != 0) return false;
  if ((std::to_integer<unsigned>(stored[4]) & 0x0F) != 0) return false;
  return ZSTD_getFrameContentSize(stored.data(), stored.size()) == out_bytes &&
         ZSTD_findFrameCompressedSize(stored.data(), stored.size()) == stored.size();
}

}  // namespace

Result<std::size_t> Compressor::compress_over(std::span<const std::byte>, std::span<const std::byte>, std::span<std::byte>) {
  return std::size_t{0};
}

Result<std::unique_ptr<Compressor>> make_compressor(Codec codec, int level) {
  switch (codec) {
    case Codec::kStore:
      if (level != 0) return invalid("the codec store has level 0 only");
      return std::unique_ptr<Compressor>(std::make_unique<StoreCompressor>());
    case Codec::kLz4:
      if (level == 0 || level < kLeastLz4Level || level > LZ4HC_CLEVEL_MAX) return invalid("lz4 has levels 1 to 12 and -1 to -100");
      return std::unique_ptr<Compressor>(std::make_unique<Lz4Compressor>(level));
    case Codec::kZstd:
      if (level == 0 || level < ZSTD_minCLevel() || level > ZSTD_maxCLevel()) return invalid("zstd has levels 1 to 22 and negative ones");
      return std::unique_ptr<Compressor>(std::make_unique<ZstdCompressor>(level));
  }
  return invalid("no such codec");
}

int default_level(Codec codec) {
  switch (codec) {
    case Codec::kStore: return 0;
    case Codec::kLz4: return 1;
    case Codec::kZstd: return 3;
  }
  return 0;
}

std::size_t compress_bound(Codec codec, std::size_t bytes) {
  switch (codec) {
    case Codec::kStore: return bytes;
    case Codec::kLz4: return static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(bytes)));
    case Codec::kZstd: return ZSTD_compressBound(bytes);
  }
  return bytes;
}

Decompressor::Decompressor() : zstd_(nullptr) {}
Decompressor::~Decompressor() { ZSTD_freeDCtx(static_cast<ZSTD_DCtx*>(zstd_)); }

bool Decompressor::decompress(Codec codec, std::span<const std::byte> stored, std::span<std::byte> out, std::span<const std::byte> dictionary) {
  switch (codec) {
    case Codec::kStore:
      if (stored.size() != out.size()) return false;
      if (!out.empty()) std::memcpy(out.data(), stored.data(), out.size());
      return true;
    case Codec::kLz4: return decompress_lz4(stored, out);
    case Codec::kZstd: {
      if (!plain_zstd_frame(stored, out.size())) return false;
      if (zstd_ == nullptr) zstd_ = ZSTD_createDCtx();
      if (zstd_ == nullptr) throw std::bad_alloc();
      // Holds for the next frame alone.
      if (!dictionary.empty() && ZSTD_isError(ZSTD_DCtx_refPrefix(static_cast<ZSTD_DCtx*>(zstd_), dictionary.data(), dictionary.size())) != 0) {
        throw std::bad_alloc();
      }
      return ZSTD_decompressDCtx(static_cast<ZSTD_DCtx*>(zstd_), out.data(), out.size(), stored.data(), stored.size()) == out.size();
    }
  }
  return false;
}

bool Decompressor::decompress_front(Codec codec, std::span<const std::byte> stored, std::span<std::byte> out) {
  if (codec != Codec::kLz4) return false;
  const int bytes = static_cast<int>(out.size());
  return LZ4_decompress_safe_partial(reinterpret_cast<const char*>(stored.data()), reinterpret_cast<char*>(out.data()),
                                     static_cast<int>(stored.size()), bytes, bytes) == bytes;
}

const char* codec_name(Codec codec) {
  switch (codec) {
    case Codec::kStore: return "store";
    case Codec::kLz4: return "lz4";
    case Codec::kZstd: return "zstd";
  }
  return "unknown";
}

std::string to_hex(const Digest& digest) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * digest.bytes.size());
  for (const std::uint8_t byte : digest.bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

}  // namespace snap
