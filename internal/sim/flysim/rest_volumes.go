package flysim

import (
	"github.com/fly-autoscaler/fly-autoscaler/internal/sim"
)

func (h *Handler) routeVolumes() {
	const volumes, one = "/v1/apps/{app}/volumes", "/v1/apps/{app}/volumes/{vol}"
	h.handle("GET "+volumes, "volume_list", h.listVolumes)
	h.handle("POST "+volumes, "volume_create", func(c *call) (reply, error) {
		var in sim.VolumeInput
		if err := c.decode(&in); err != nil {
			return reply{}, err
		}
		return volumeReply(h.world.CreateVolume(c.by(), c.app, in))
	})
	h.handle("GET "+one, "volume_get", func(c *call) (reply, error) {
		return volumeReply(h.world.Volume(c.app, c.PathValue("vol")))
	})
	h.handle("DELETE "+one, "volume_delete", func(c *call) (reply, error) {
		return volumeReply(h.world.DeleteVolume(c.by(), c.app, c.PathValue("vol")))
	})
	h.handle("PUT "+one+"/extend", "volume_extend", h.extendVolume)
	h.handle("GET "+one+"/snapshots", "volume_snapshot_list", func(c *call) (reply, error) {
		if _, err := h.world.Volume(c.app, c.PathValue("vol")); err != nil {
			return reply{}, err
		}
		return ok([]any{}) // nobody takes snapshots here
	})
}

func volumeReply(v sim.Volume, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return ok(toVolumeJSON(v))
}

func (h *Handler) listVolumes(c *call) (reply, error) {
	volumes, err := h.world.Volumes(c.app)
	if err != nil {
		return reply{}, err
	}
	out := make([]volumeJSON, 0, len(volumes))
	for _, v := range volumes {
		out = append(out, toVolumeJSON(v))
	}
	return ok(out)
}

func (h *Handler) extendVolume(c *call) (reply, error) {
	var in struct {
		SizeGB int `json:"size_gb"`
	}
	if err := c.decode(&in); err != nil {
		return reply{}, err
	}
	v, err := h.world.ExtendVolume(c.by(), c.app, c.PathValue("vol"), in.SizeGB)
	if err != nil {
		return reply{}, err
	}
	return ok(map[string]any{"volume": toVolumeJSON(v), "needs_restart": v.AttachedMachine != ""})
}
