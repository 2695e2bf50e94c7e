// SPDX-License-Identifier: Apache-2.0
// The codecs of payloads, SPEC 7, behind one interface.
#pragma once

#include <memory>
#include <span>

#include "snap/model.h"
#include "snap/result.h"

namespace snap {

/// One per thread.
class Compressor {
 public:
  virtual ~Compressor() = default;
  /// `out` holds at least compress_bound(in.size()) bytes. Answers the stored size, or 0 where it would not be smaller than `in`.
  virtual Result<std::size_t> compress(std::span<const std::byte> in, std::span<std::byte> out) = 0;
  /// The same with bytes that count as standing before `in`; 0 also where the codec has no such form.
  virtual Result<std::size_t> compress_over(std::span<const std::byte> dictionary, std::span<const std::byte> in, std::span<std::byte> out);
};

/// kInvalidArgument where the level is not one of the codec's.
Result<std::unique_ptr<Compressor>> make_compressor(Codec codec, int level);
int default_level(Codec codec);
std::size_t compress_bound(Codec codec, std::size_t bytes);

/// One per thread.
class Decompressor {
 public:
  Decompressor();
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  /// True only if `stored` decodes to exactly out.size() bytes. Writes nothing outside `out`, whatever `stored` holds.
  /// `dictionary`: for kZstd alone, the bytes that compress_over() had; must not overlap `out`.
  bool decompress(Codec codec, std::span<const std::byte> stored, std::span<std::byte> out, std::span<const std::byte> dictionary = {});
  /// The first out.size() bytes of what `stored` decodes to: what is behind them is not looked at. False also for codecs that cannot.
  static bool decompress_front(Codec codec, std::span<const std::byte> stored, std::span<std::byte> out);

 private:
  void* zstd_;  // ZSTD_DCtx, made when first needed
};

}  // namespace snap
