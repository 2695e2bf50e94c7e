// SPDX-License-Identifier: Apache-2.0
// bzip2, xz and zstd, whose libraries parse their containers themselves.
#include <bzlib.h>
#include <lzma.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <new>

#include "vmm/decoder.h"
#include "vmm/decoders.h"
#include "vmm/decompress.h"

namespace snap {
namespace {

/// What a call of a library did.
struct Step {
  std::size_t used = 0, made = 0;
  bool ended = false;  ///< with this the member ends
};

/// Turns calls of a library into a decoder.
class LibraryDecoder : public Decoder {
 public:
  LibraryDecoder(ForwardStream& in, const char* ends, const char* damaged) : Decoder(in), ends_(ends), damaged_(damaged) {}

 protected:
  virtual Result<Step> step(std::span<const std::byte> bytes, std::span<std::byte> out) = 0;

  Error damaged(std::size_t used) { return corrupt(in().offset() + used, damaged_); }

 private:
  Result<std::size_t> decode(std::span<std::byte> out) override {
    SNAP_TRY_ASSIGN(bytes, in().look_around());
    SNAP_TRY_ASSIGN(done, step(bytes, out));
    SNAP_TRY(in().skip(done.used, ends_));
    if (done.ended) {
      end_member();
    } else if (done.used == 0 && done.made == 0) {
      return bytes.empty() ? truncated(in().offset(), ends_) : damaged(0);
    }
    return done.made;
  }

  const char* ends_;
  const char* damaged_;
};

Error no_memory() { return fail(Code::kNoMemory, "out of memory"); }

class Bzip2Decoder final : public LibraryDecoder {
 public:
  explicit Bzip2Decoder(ForwardStream& in) : LibraryDecoder(in, "the bzip2 data ends early", "the bzip2 data is damaged") {}
  ~Bzip2Decoder() override { ::BZ2_bzDecompressEnd(&stream_); }

 private:
  Result<void> begin() override {
    ::BZ2_bzDecompressEnd(&stream_);
    stream_ = {};
    return ::BZ2_bzDecompressInit(&stream_, 0, 0) == BZ_OK ? Result<void>() : no_memory();
  }
  Result<Step> step(std::span<const std::byte> bytes, std::span<std::byte> out) override {
    stream_.next_in = reinterpret_cast<char*>(const_cast<std::byte*>(bytes.data()));  // the library only reads it
    stream_.avail_in = static_cast<unsigned>(bytes.size());
    stream_.next_out = reinterpret_cast<char*>(out.data());
    stream_.avail_out = static_cast<unsigned>(out.size());
    const int status = ::BZ2_bzDecompress(&stream_);
    const Step done{bytes.size() - stream_.avail_in, out.size() - stream_.avail_out, status == BZ_STREAM_END};
    if (status == BZ_MEM_ERROR) return no_memory();
    if (status != BZ_OK && status != BZ_STREAM_END) return damaged(done.used);
    return done;
  }

  bz_stream stream_{};
};

class XzDecoder final : public LibraryDecoder {
 public:
  explicit XzDecoder(ForwardStream& in) : LibraryDecoder(in, "the xz data ends early", "the xz data is damaged") {}
  ~XzDecoder() override { ::lzma_end(&stream_); }

 private:
  Result<void> begin() override {
    const lzma_ret status = ::lzma_auto_decoder(&stream_, kMostXzBytes, LZMA_TELL_UNSUPPORTED_CHECK);
    return status == LZMA_OK ? Result<void>() : no_memory();
  }
  Result<Step> step(std::span<const std::byte> bytes, std::span<std::byte> out) override {
    stream_.next_in = reinterpret_cast<const std::uint8_t*>(bytes.data());
    stream_.avail_in = bytes.size();
    stream_.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    stream_.avail_out = out.size();
    const lzma_ret status = ::lzma_code(&stream_, bytes.empty() ? LZMA_FINISH : LZMA_RUN);
    const Step done{bytes.size() - stream_.avail_in, out.size() - stream_.avail_out, status == LZMA_STREAM_END};
    const std::uint64_t at = in().offset() + done.used;
    switch (status) {
      case LZMA_OK:
      case LZMA_STREAM_END:
      case LZMA_BUF_ERROR:  // no progress; the caller knows why
        return done;
      case LZMA_MEM_ERROR:
        return no_memory();
      case LZMA_MEMLIMIT_ERROR:
        return fail(Code::kLimit, "xz data that needs more than 128 MiB of memory", at);
      case LZMA_OPTIONS_ERROR:
      case LZMA_UNSUPPORTED_CHECK:
        return unsupported(at, "xz data with a filter or check that is not known");
      default:
        return damaged(done.used);
    }
  }

  lzma_stream stream_ = LZMA_STREAM_INIT;
};

class ZstdDecoder final : public LibraryDecoder {
 public:
  explicit ZstdDecoder(ForwardStream& in)
      : LibraryDecoder(in, "the zstd data ends early", "the zstd data is damaged"), context_(::ZSTD_createDCtx()) {
    if (context_ == nullptr) throw std::bad_alloc();
    ::ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kMostZstdWindowLog);
  }
  ~ZstdDecoder() override { ::ZSTD_freeDCtx(context_); }

 private:
  Result<void> begin() override {
    ::ZSTD_DCtx_reset(context_, ZSTD_reset_session_only);
    return {};
  }
  Result<Step> step(std::span<const std::byte> bytes, std::span<std::byte> out) override {
    ZSTD_inBuffer from{bytes.data(), bytes.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    const std::size_t status = ::ZSTD_decompressStream(context_, &to, &from);
    if (::ZSTD_isError(status) == 0) return Step{from.pos, to.pos, status == 0};
    switch (::ZSTD_getErrorCode(status)) {
      case ZSTD_error_memory_allocation:
        return no_memory();
      case ZSTD_error_frameParameter_windowTooLarge:
        return fail(Code::kLimit, "zstd data with a window of more than 128 MiB", in().offset() + from.pos);
      case ZSTD_error_frameParameter_unsupported:
      case ZSTD_error_version_unsupported:
      case ZSTD_error_dictionary_wrong:
        return unsupported(in().offset() + from.pos, "zstd data of a kind that is not known, or that needs a dictionary");
      case ZSTD_error_srcSize_wrong:  // no progress; the caller knows why
        return Step{from.pos, to.pos, false};
      default:
        return damaged(from.pos);
    }
  }

  ZSTD_DCtx* context_;
};

}  // namespace

std::unique_ptr<ByteSource> bzip2_decoder(ForwardStream& in) { return std::make_unique<Bzip2Decoder>(in); }
std::unique_ptr<ByteSource> xz_decoder(ForwardStream& in) { return std::make_unique<XzDecoder>(in); }
std::unique_ptr<ByteSource> zstd_decoder(ForwardStream& in) { return std::make_unique<ZstdDecoder>(in); }

}  // namespace snap
