// SPDX-License-Identifier: Apache-2.0
// A save image of libvirt: what stands in front of the stream becomes one state, the stream what a migration stream becomes.
#include <algorithm>

#include "vmm/decompress.h"
#include "vmm/libvirt.h"
#include "vmm/metadata.h"
#include "vmm/qemu_stream_import.h"

namespace snap {
namespace {

constexpr const char* kIncomplete = "the save image is incomplete: libvirt did not finish it";

/// What is left of a stream, but for a header's length at its end.
class AllButTail final : public ByteSource {
 public:
  explicit AllButTail(ForwardStream& stream) : stream_(stream) {}

  Result<std::size_t> read(std::span<std::byte> out) override {
    while (held_.size() <= kLibvirtHeaderBytes) {
      SNAP_TRY_ASSIGN(bytes, stream_.look_around());
      if (bytes.empty()) return std::size_t{0};
      append(held_, bytes);
      SNAP_TRY(stream_.skip(bytes.size(), ""));
    }
    const std::size_t count = std::min(out.size(), held_.size() - kLibvirtHeaderBytes);
    std::copy_n(held_.begin(), count, out.begin());
    held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
  }
  /// Once read() answered 0.
  std::span<const std::byte> tail() const { return held_; }

 private:
  ForwardStream& stream_;
  Bytes held_;
};

class LibvirtImport {
 public:
  LibvirtImport(ForwardStream& stream, Writer& writer, const ImportOptions& options)
      : stream_(stream), writer_(writer), options_(options), uncounted_(options) {
    uncounted_.progress = nullptr;
  }

  Result<Imported> run() {
    SNAP_TRY(take_front());
    SNAP_TRY_ASSIGN(imported, header_.partial ? partial_payload() : payload(stream_));
    SNAP_TRY(write_state(writer_, kLibvirtHeaderState, front_));
    return imported;
  }

 private:
  Result<void> take_front() {
    SNAP_TRY_ASSIGN(bytes, stream_.take(kLibvirtHeaderBytes, "the save image ends in its header"));
    append(front_, {bytes, kLibvirtHeaderBytes});
    SNAP_TRY_ASSIGN(header, parse_libvirt_header(front_));
    header_ = header;
    // Grows with what is there, not with what is announced.
    const std::size_t end = kLibvirtHeaderBytes + header_.data_bytes;
    while (front_.size() < end) {
      const std::size_t piece = std::min(ForwardStream::kBufferBytes, end - front_.size());
      SNAP_TRY_ASSIGN(data, stream_.take(piece, "the save image ends in the domain's XML"));
      append(front_, {data, piece});
    }
    return describe();
  }

  Result<void> describe() {
    const auto data = text_of(std::span(front_).subspan(kLibvirtHeaderBytes));
    const std::string name = domain_name(data.substr(0, header_.cookie_offset != 0 ? header_.cookie_offset : data.size()));
    SNAP_TRY(writer_.set_metadata("source.format", format_name(Format::kLibvirt)));
    SNAP_TRY(writer_.set_metadata(kLibvirtFormatKey, format().name));
    SNAP_TRY(writer_.set_metadata(kLibvirtRunningKey, header_.was_running ? "1" : "0"));
    return name.empty() ? Result<void>() : writer_.set_metadata(kLibvirtDomainKey, metadata_text(name));
  }

  Result<Imported> payload(ForwardStream& stream) {
    if (format().compression == Compression::kNone) return import_qemu_stream(stream, writer_, options_);
    const auto inside = decompressed(stream, format().compression);
    ForwardStream inner(*inside, uncounted_);
    return import_qemu_stream(inner, writer_, options_);
  }

  /// What was saved into a pipe ends with the header once more; a file that is partly written does not.
  Result<Imported> partial_payload() {
    if (format().sparse) return truncated(0, kIncomplete);  // libvirt writes these into files only
    AllButTail but_tail(stream_);
    ForwardStream inner(but_tail, uncounted_, stream_.offset());
    Result<Imported> imported = payload(inner);
    if (!imported && imported.error().code == Code::kTruncated) return truncated(stream_.offset(), kIncomplete);
    if (!imported) return imported;
    Bytes complete(front_.begin(), front_.begin() + kLibvirtHeaderBytes);
    std::copy_n(bytes_of(kLibvirtSave).begin(), kLibvirtSave.size(), complete.begin());
    if (!std::ranges::equal(but_tail.tail(), complete)) return truncated(stream_.offset(), kIncomplete);
    std::copy(complete.begin(), complete.end(), front_.begin());
    return imported;
  }

  const LibvirtFormat& format() const { return kLibvirtFormats[header_.format]; }

  ForwardStream& stream_;
  Writer& writer_;
  const ImportOptions& options_;
  ImportOptions uncounted_;
  LibvirtHeader header_;
  Bytes front_;
};

}  // namespace

Result<Imported> import_libvirt(ByteSource& source, Writer& writer, const ImportOptions& options) {
  return with_unwrapped(source, writer, options,
                        [&](ForwardStream& stream) { return LibvirtImport(stream, writer, options).run(); });
}

}  // namespace snap
