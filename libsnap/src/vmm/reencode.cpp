// SPDX-License-Identifier: Apache-2.0
#include "vmm/reencode.h"

#include "base/fail.h"
#include "vmm/cblocks.h"

namespace snap {
namespace {

constexpr std::size_t kBatchBytes = 256 * 1024;

}  // namespace

Result<std::unique_ptr<CblockEncoder>> CblockEncoder::create(const DeflateParams& params, ByteSink& sink) {
  constexpr const char* kBad = "the recipe of the VM state has illegal zlib parameters";
  const bool legal = params.level <= 9 && params.window_bits >= 9 && params.window_bits <= 15 && params.memory_level >= 1 &&
                     params.memory_level <= 9 && params.piece_bytes >= 1 && params.piece_bytes <= kMaxCblockBytes;
  if (!legal) return corrupt(0, kBad);
  std::unique_ptr<CblockEncoder> encoder(new CblockEncoder(static_cast<std::size_t>(params.piece_bytes), sink));
  const int status =
      deflateInit2(&encoder->zlib_, static_cast<int>(params.level), Z_DEFLATED, static_cast<int>(params.window_bits),
                   static_cast<int>(params.memory_level), Z_DEFAULT_STRATEGY);
  if (status == Z_MEM_ERROR) return fail(Code::kNoMemory, "no memory for zlib");
  if (status != Z_OK) return corrupt(0, kBad);
  encoder->zlib_.next_out = reinterpret_cast<Bytef*>(encoder->piece_.data() + 4);
  encoder->zlib_.avail_out = static_cast<uInt>(params.piece_bytes);
  return encoder;
}

Result<void> CblockEncoder::run(std::span<const std::byte> records, int flush) {
  zlib_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(records.data()));  // zlib only reads it
  zlib_.avail_in = static_cast<uInt>(records.size());
  while (true) {
    const int status = deflate(&zlib_, flush);
    if (zlib_.avail_out == 0) SNAP_TRY(emit());
    if (flush == Z_FINISH ? status == Z_STREAM_END : zlib_.avail_in == 0) return {};
    if (status != Z_OK && status != Z_BUF_ERROR) return corrupt(0, "zlib failed");
  }
}

/// Puts the piece begun, full or the last, on its way.
Result<void> CblockEncoder::emit() {
  const std::size_t length = piece_bytes_ - zlib_.avail_out;
  if (length == 0) return {};
  piece_[0] = static_cast<std::byte>(kCblockMagic >> 8);
  piece_[1] = static_cast<std::byte>(kCblockMagic & 0xff);
  piece_[2] = static_cast<std::byte>(length >> 8);
  piece_[3] = static_cast<std::byte>(length & 0xff);
  append(ready_, std::span(piece_).first(4 + length));
  zlib_.next_out = reinterpret_cast<Bytef*>(piece_.data() + 4);
  zlib_.avail_out = static_cast<uInt>(piece_bytes_);
  if (ready_.size() < kBatchBytes) return {};
  SNAP_TRY(sink_.write(ready_));
  ready_.clear();
  return {};
}

Result<void> CblockEncoder::finish() {
  SNAP_TRY(run({}, Z_FINISH));
  SNAP_TRY(emit());
  return sink_.write(ready_);
}

Result<void> ComparingSink::write(std::span<const std::byte> bytes) {
  if (!same_) return {};
  original_.resize(bytes.size());
  SNAP_TRY_ASSIGN(got, stream_.read_at(offset_, original_));
  same_ = got == bytes.size() && std::memcmp(original_.data(), bytes.data(), got) == 0;
  offset_ += got;
  return {};
}

}  // namespace snap
