// SPDX-License-Identifier: Apache-2.0
// A save image that `virsh restore` takes: the header and XML that came, or new ones, and the migration stream, uncompressed.
#include <algorithm>

#include "base/fail.h"
#include "vmm/libvirt.h"
#include "vmm/qemu_stream.h"

namespace snap {
namespace {

constexpr std::size_t kMaxXmlBytes = 16u << 20;

/// Writes what stands in front once there is something behind it, so that an export that fails at its start leaves nothing.
class WithFront final : public ByteSink {
 public:
  WithFront(ByteSink& sink, std::span<const std::byte> front) : sink_(sink), front_(front) {}
  Result<void> write(std::span<const std::byte> bytes) override {
    if (!front_.empty()) SNAP_TRY(sink_.write(std::exchange(front_, {})));
    return sink_.write(bytes);
  }

 private:
  ByteSink& sink_;
  std::span<const std::byte> front_;
};

void set_field(Bytes& header, LibvirtField at, std::uint32_t value) { std::memcpy(&header[at], &value, sizeof value); }

/// In the order of this host, version 2, uncompressed; the rest is left as it is.
void set_fields(Bytes& front, std::uint32_t data_bytes, bool was_running, std::uint32_t cookie_offset) {
  std::copy_n(bytes_of(kLibvirtSave).begin(), kLibvirtSave.size(), front.begin());
  set_field(front, kFieldVersion, kLibvirtVersion);
  set_field(front, kFieldDataLen, data_bytes);
  set_field(front, kFieldWasRunning, was_running ? 1 : 0);
  set_field(front, kFieldFormat, 0);
  set_field(front, kFieldCookie, cookie_offset);
}

Result<Bytes> imported_front(Reader& reader, LibvirtHeader& header) {
  SNAP_TRY_ASSIGN(front, read_state(reader, kLibvirtHeaderState, kLibvirtHeaderBytes + kMaxLibvirtData));
  SNAP_TRY_ASSIGN(parsed, parse_libvirt_header(front));
  if (front.size() != kLibvirtHeaderBytes + parsed.data_bytes) {
    return corrupt(0, "the state libvirt.header is not as long as it says", front.size());
  }
  header = parsed;
  set_fields(front, header.data_bytes, header.was_running, header.cookie_offset);
  return front;
}

Result<Bytes> new_front(std::string_view xml, std::string_view cookie, bool running) {
  xml = xml.substr(0, xml.find_last_not_of(std::string_view("\0\n\r\t ", 5)) + 1);
  if (xml.find("<domain") == std::string_view::npos || xml.find('\0') != std::string_view::npos) {
    return invalid("what was given as the domain's XML is none");
  }
  if (xml.size() > kMaxXmlBytes) return invalid("a domain's XML of more than 16 MiB", xml.size());
  Bytes front(kLibvirtHeaderBytes);
  append(front, bytes_of(xml));
  front.push_back(std::byte{0});
  const std::size_t cookie_at = front.size() - kLibvirtHeaderBytes;
  if (!cookie.empty()) {
    append(front, bytes_of(cookie));
    front.push_back(std::byte{0});
  }
  front.resize(front.size() + kLibvirtRoom);
  const std::size_t data_bytes = front.size() - kLibvirtHeaderBytes;
  if (data_bytes > kMaxLibvirtData) return invalid("more than 64 MiB of XML in a save image", data_bytes);
  set_fields(front, static_cast<std::uint32_t>(data_bytes), running, cookie.empty() ? 0 : static_cast<std::uint32_t>(cookie_at));
  return front;
}

Result<Bytes> make_front(Reader& reader, std::string_view xml) {
  const bool imported = reader.find(RegionKind::kState, kLibvirtHeaderState).has_value();
  if (!imported && xml.empty()) {
    return fail(Code::kNotFound, "the snapshot was not made of a save image of libvirt, so a domain's XML is needed");
  }
  if (!imported) return new_front(xml, {}, was_running(reader));
  LibvirtHeader header;
  SNAP_TRY_ASSIGN(front, imported_front(reader, header));
  if (xml.empty()) return front;
  const std::string_view data = text_of(std::span(front).subspan(kLibvirtHeaderBytes));
  const std::string_view behind = header.cookie_offset == 0 ? std::string_view() : data.substr(header.cookie_offset);
  return new_front(xml, behind.substr(0, behind.find('\0')), header.was_running);
}

}  // namespace

Result<void> export_libvirt(Reader& reader, ByteSink& sink, const ExportOptions& options, std::string_view domain_xml) {
  SNAP_TRY_ASSIGN(front, make_front(reader, domain_xml));
  WithFront with_front(sink, front);
  return export_qemu(reader, with_front, options);
}

}  // namespace snap
