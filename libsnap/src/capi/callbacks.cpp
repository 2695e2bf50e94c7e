// SPDX-License-Identifier: Apache-2.0
// A C program's own source and sink.
#include "capi/translate.h"

namespace snap::capi {
namespace {

class CallbackSource final : public RandomSource {
 public:
  explicit CallbackSource(const snap_source& source) : source_(source) {}

  Result<std::uint64_t> size() override {
    std::uint64_t bytes = 0;
    if (const int failed = source_.get_size(source_.opaque, &bytes)) {
      return Error{.code = Code::kIo, .sys_errno = capi::errno_of(failed), .what = "the source did not tell its size"};
    }
    return bytes;
  }

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override {
    std::size_t done = 0;
    if (const int failed = source_.read_at(source_.opaque, offset, out.data(), out.size(), &done)) {
      return Error{.code = Code::kIo, .sys_errno = capi::errno_of(failed), .file_offset = offset, .what = "the source failed to read"};
    }
    if (done > out.size()) {
      return Error{.code = Code::kIo, .file_offset = offset, .what = "the source read more than was asked", .detail = done};
    }
    return done;
  }

 private:
  const snap_source source_;
};

class CallbackSink final : public ByteSink {
 public:
  explicit CallbackSink(const snap_sink& sink) : sink_(sink) {}

  Result<void> write(std::span<const std::byte> bytes) override {
    if (const int failed = sink_.write(sink_.opaque, bytes.data(), bytes.size())) {
      return Error{.code = Code::kIo, .sys_errno = capi::errno_of(failed), .file_offset = written_, .what = "the sink failed to write"};
    }
    written_ += bytes.size();
    return {};
  }

 private:
  const snap_sink sink_;
  std::uint64_t written_ = 0;
};

}  // namespace

Result<std::unique_ptr<RandomSource>> make_source(const snap_source* source) {
  if (!source) return invalid("no source");
  snap_source own{};
  if (auto ok = take(own, source); !ok) return ok.error();
  if (!own.get_size || !own.read_at) return invalid("a source needs get_size and read_at");
  if (own.reserved != 0) return invalid("a reserved field is set");
  return std::unique_ptr<RandomSource>(std::make_unique<CallbackSource>(own));
}

Result<std::unique_ptr<ByteSink>> make_sink(const snap_sink* sink) {
  if (!sink) return invalid("no sink");
  snap_sink own{};
  if (auto ok = take(own, sink); !ok) return ok.error();
  if (!own.write) return invalid("a sink needs write");
  if (own.reserved != 0) return invalid("a reserved field is set");
  return std::unique_ptr<ByteSink>(std::make_unique<CallbackSink>(own));
}

}  // namespace snap::capi
