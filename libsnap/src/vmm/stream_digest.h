// SPDX-License-Identifier: Apache-2.0
// What tells an import's bytes from all others: BLAKE3, as `b3sum` prints it.
#pragma once

#include <blake3.h>

#include "base/bytes.h"
#include "snap/import.h"
#include "snap/io.h"
#include "snap/model.h"

namespace snap {

class StreamDigest {
 public:
  StreamDigest() { blake3_hasher_init(&hasher_); }
  void add(std::span<const std::byte> bytes) {
    blake3_hasher_update(&hasher_, bytes.data(), bytes.size());
    bytes_ += bytes.size();
  }
  std::uint64_t bytes() const { return bytes_; }
  Digest digest() const {
    Digest digest;
    blake3_hasher_finalize(&hasher_, digest.bytes.data(), digest.bytes.size());
    return digest;
  }

 private:
  blake3_hasher hasher_;
  std::uint64_t bytes_ = 0;
};

/// Passes on what a stream gives and digests it.
class DigestingSource final : public ByteSource {
 public:
  explicit DigestingSource(ByteSource& source) : source_(source) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    auto got = source_.read(out);
    if (got) digest_.add(out.first(*got));
    return got;
  }
  const StreamDigest& digest() const { return digest_; }

 private:
  ByteSource& source_;
  StreamDigest digest_;
};

/// Digests what goes out.
class DigestingSink final : public ByteSink {
 public:
  explicit DigestingSink(ByteSink& sink) : sink_(sink) {}
  Result<void> write(std::span<const std::byte> bytes) override {
    digest_.add(bytes);
    return sink_.write(bytes);
  }
  const StreamDigest& digest() const { return digest_; }

 private:
  ByteSink& sink_;
  StreamDigest digest_;
};

/// What an export wrote, beside the digest that its import recorded under `key`.
inline VmstateExport compared(const Reader& reader, std::string_view key, const StreamDigest& written) {
  VmstateExport result;
  result.bytes = written.bytes();
  const auto recorded = reader.metadata().find(std::string(key));
  result.digest_known = recorded != reader.metadata().end();
  result.identical = result.digest_known && recorded->second == to_hex(written.digest());
  return result;
}

}  // namespace snap
