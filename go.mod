module github.com/fly-autoscaler/fly-autoscaler

go 1.26.0
